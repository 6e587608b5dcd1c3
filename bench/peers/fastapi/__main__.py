"""Makes the tenants' schemas and starts a worker for each core that this process may use."""

import asyncio
import os
import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

import database


def main() -> None:
    tenants = database.connect(os.environ["BENCH_DATABASE"], os.environ["BENCH_TENANTS"].split(","))
    asyncio.run(tenants.prepare())
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    host, port = listener.getsockname()
    print(f"ready at {host}:{port}", flush=True)
    workers = len(os.sched_getaffinity(0))
    config = uvicorn.Config(
        "app:app",
        workers=workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    # Not by `fd`: uvicorn takes that for a Unix socket, and answers wait for each other (Nagle).
    if workers == 1:
        server.run(sockets=[listener])
    else:
        Multiprocess(config, target=server.run, sockets=[listener]).run()


if __name__ == "__main__":
    main()
