"""One PostgreSQL schema per tenant, one pool of connections per worker."""

from typing import Annotated

from fastapi import Depends, Header, HTTPException
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateSchema
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from models import TENANT

CONNECTIONS = 4


class Tenants:
    """The tenants' schemas. Each tenant's engine is a view of the same pool."""

    def __init__(self, url: str, slugs: list[str]) -> None:
        self.engine = create_async_engine(
            url.replace("postgres://", "postgresql+asyncpg://", 1),
            pool_size=CONNECTIONS,
            max_overflow=0,
            # Each tenant's statements name its schema, so that there are some for each.
            query_cache_size=10_000,
            connect_args={"prepared_statement_cache_size": 1_000},
        )
        self.engines: dict[str, AsyncEngine] = {
            slug: self.engine.execution_options(schema_translate_map={TENANT: f"t_{slug}"})
            for slug in slugs
        }
        # A read that is one statement needs no transaction.
        self.readers: dict[str, AsyncEngine] = {
            slug: engine.execution_options(isolation_level="AUTOCOMMIT")
            for slug, engine in self.engines.items()
        }

    async def prepare(self) -> None:
        for slug, engine in self.engines.items():
            async with engine.begin() as connection:
                await connection.execute(CreateSchema(f"t_{slug}", if_not_exists=True))
                await connection.run_sync(SQLModel.metadata.create_all)
        await self.engine.dispose()


tenants: Tenants


def connect(url: str, slugs: list[str]) -> Tenants:
    global tenants
    tenants = Tenants(url, slugs)
    return tenants


def tenant(x_tenant: Annotated[str, Header()] = "default") -> str:
    if x_tenant not in tenants.engines:
        raise HTTPException(404, "there is no such tenant")
    return x_tenant


async def session(slug: Annotated[str, Depends(tenant)]):
    async with AsyncSession(tenants.engines[slug], expire_on_commit=False) as session:
        yield session


async def reader(slug: Annotated[str, Depends(tenant)]):
    async with AsyncSession(tenants.readers[slug]) as session:
        yield session


Session = Annotated[AsyncSession, Depends(session)]
Reader = Annotated[AsyncSession, Depends(reader)]
