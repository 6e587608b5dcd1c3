"""What is kept and what is said: the same tables and the same JSON as the benchmarks' module."""

from datetime import datetime, timezone
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic import Field as Described
from sqlalchemy import Column, DateTime, Index, text
from sqlmodel import Field, Relationship, SQLModel
from uuid_utils.compat import uuid7

# A name that the schema of the request's tenant takes the place of.
TENANT = "tenant"


def now() -> datetime:
    return datetime.now(timezone.utc)


def timestamptz() -> Column:
    return Column(DateTime(timezone=True), nullable=False)


def on_one_line(name: str) -> str:
    if not name.isprintable():
        raise ValueError("must be one line")
    return name


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(on_one_line),
]
Amount = Annotated[int, Described(ge=-(2**31), lt=2**31)]


class Entry(SQLModel, table=True):
    __tablename__ = "rows"
    __table_args__ = {"schema": TENANT}

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str
    amount: int
    created_at: datetime = Field(sa_column=timestamptz())


class Item(SQLModel, table=True):
    __tablename__ = "items"
    __table_args__ = {"schema": TENANT}

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    name: str
    amount: int
    created_at: datetime = Field(default_factory=now, sa_column=timestamptz())


class Change(SQLModel, table=True):
    __tablename__ = "changes"
    __table_args__ = {"schema": TENANT}

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    row_id: int = Field(foreign_key=f"{TENANT}.rows.id")
    amount_before: int
    amount_after: int
    changed_at: datetime = Field(default_factory=now, sa_column=timestamptz())


class Author(SQLModel, table=True):
    __tablename__ = "authors"
    __table_args__ = {"schema": TENANT}

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str


class Article(SQLModel, table=True):
    __tablename__ = "articles"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    author_id: int = Field(foreign_key=f"{TENANT}.authors.id")
    title: str
    language: str
    words: int

    author: Author = Relationship()

    __table_args__ = (
        Index("articles_title", text("to_tsvector('simple', title)"), postgresql_using="gin"),
        {"schema": TENANT},
    )


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Draft(Strict):
    name: Name
    amount: Amount


class Drafts(Strict):
    items: Annotated[list[Draft], Described(max_length=10_000)]


class NewAmount(Strict):
    amount: Amount


class Fill(Strict):
    count: Annotated[int, Described(ge=0)]


class Greeting(BaseModel):
    hello: str
    language: str
    words: int


class Page(BaseModel):
    items: list[Entry]
    next: str | None


class AuthorShown(BaseModel):
    id: int
    name: str


class ArticleShown(BaseModel):
    id: int
    title: str
    language: str
    words: int
    author: AuthorShown


class ArticlePage(BaseModel):
    items: list[ArticleShown]
    next: str | None


class ArticleIn(BaseModel):
    id: int
    author_id: int
    title: str
    language: str
    words: int


class Articles(BaseModel):
    authors: list[AuthorShown]
    articles: list[ArticleIn]


class WantedArticles(Strict):
    """What clients may ask of the list of articles."""

    language: str | None = None
    words: int | None = Described(None, alias="words.gte")
    search: str | None = None
    sort: Literal["-words"] | None = None
    limit: Annotated[int, Described(ge=1, le=100)] = 20
    cursor: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")] | None = None


class Inserted(BaseModel):
    inserted: int
