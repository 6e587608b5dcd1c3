"""The benchmarks' API in FastAPI, SQLModel and asyncpg."""

import os
from datetime import datetime, timedelta, timezone
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Query, Response
from sqlalchemy import func, insert, literal_column
from sqlalchemy.orm import selectinload
from sqlmodel import select

import database
from database import Reader, Session
from models import (
    Article,
    ArticlePage,
    Articles,
    Author,
    Change,
    Draft,
    Drafts,
    Entry,
    Fill,
    Greeting,
    Inserted,
    Item,
    NewAmount,
    Page,
    WantedArticles,
    now,
    uuid7,
)

router = APIRouter(prefix="/api/bench")


@router.get("/hello/{name}", response_model=Greeting)
async def hello(name: str):
    return Greeting(hello=name, language="en", words=2)


@router.get("/rows/{id}", response_model=Entry)
async def read(id: int, db: Reader):
    entry = await db.get(Entry, id)
    if entry is None:
        raise HTTPException(404, "there is no such row")
    return entry


@router.get("/rows", response_model=Page)
async def page(
    db: Reader,
    response: Response,
    cursor: int = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
):
    found = await db.exec(
        select(Entry).where(Entry.id > cursor).order_by(Entry.id).limit(limit + 1)
    )
    entries = found.all()
    items = entries[:limit]
    if len(entries) <= limit:
        return Page.model_construct(items=items, next=None)
    after = items[-1].id
    response.headers["link"] = f'<?cursor={after}&limit={limit}>; rel="next"'
    return Page.model_construct(items=items, next=str(after))


@router.get("/articles", response_model=ArticlePage)
async def articles(db: Reader, wanted: Annotated[WantedArticles, Query()]):
    query = select(Article).options(selectinload(Article.author))
    if wanted.language is not None:
        query = query.where(Article.language == wanted.language)
    if wanted.words is not None:
        query = query.where(Article.words >= wanted.words)
    if wanted.search is not None:
        beginning = "'{}':*".format(wanted.search.replace("'", "''"))
        document = func.to_tsvector(literal_column("'simple'"), Article.title)
        searched = func.to_tsquery(literal_column("'simple'"), beginning)
        query = query.where(document.op("@@")(searched))
    words, id = (int(part) for part in wanted.cursor.split(".")) if wanted.cursor else (None, None)
    if wanted.sort == "-words":
        if words is not None:
            rest = (Article.words == words) & (Article.id > id)
            query = query.where((Article.words < words) | rest)
        query = query.order_by(Article.words.desc(), Article.id)
    else:
        if id is not None:
            query = query.where(Article.id > id)
        query = query.order_by(Article.id)
    found = (await db.exec(query.limit(wanted.limit + 1))).all()
    items = found[: wanted.limit]
    last = items[-1] if len(found) > wanted.limit else None
    return ArticlePage.model_construct(items=items, next=last and f"{last.words}.{last.id}")


@router.post("/articles", status_code=204)
async def fill_articles(all: Articles, db: Session):
    await db.execute(insert(Author), [it.model_dump() for it in all.authors])
    await db.execute(insert(Article), [it.model_dump() for it in all.articles])
    await db.commit()


@router.patch("/rows/{id}", response_model=Change)
async def change(id: int, new: NewAmount, db: Session):
    entry = await db.get(Entry, id, with_for_update=True)
    if entry is None:
        raise HTTPException(404, "there is no such row")
    change = Change(row_id=id, amount_before=entry.amount, amount_after=new.amount)
    entry.amount = new.amount
    db.add(change)
    await db.commit()
    return change


@router.post("/items", response_model=Item, status_code=201)
async def add(draft: Draft, db: Session, response: Response):
    item = Item(name=draft.name, amount=draft.amount)
    db.add(item)
    await db.commit()
    response.headers["location"] = f"/api/bench/items/{item.id}"
    return item


@router.post("/items/bulk", response_model=Inserted, status_code=201)
async def add_many(drafts: Drafts, db: Session):
    created_at = now()
    await db.execute(
        insert(Item),
        [
            {"id": uuid7(), "name": it.name, "amount": it.amount, "created_at": created_at}
            for it in drafts.items
        ],
    )
    await db.commit()
    return Inserted(inserted=len(drafts.items))


@router.post("/rows", status_code=204)
async def fill(fill: Fill, db: Session):
    begin = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
    await db.execute(
        insert(Entry),
        [
            {
                "id": id,
                "name": f"row {id}",
                "amount": id * 7,
                "created_at": begin + timedelta(microseconds=id),
            }
            for id in range(1, fill.count + 1)
        ],
    )
    await db.commit()


database.connect(os.environ["BENCH_DATABASE"], os.environ["BENCH_TENANTS"].split(","))
app = FastAPI()
app.include_router(router)
