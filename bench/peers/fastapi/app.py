"""The benchmarks' API in FastAPI, SQLModel and asyncpg."""

import os
from datetime import datetime, timedelta, timezone
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Query, Response
from sqlalchemy import insert
from sqlmodel import select

import database
from database import Reader, Session
from models import (
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
