"""The calls that measurements make: `bench.local_cluster`."""

import asyncio

from homeport.bench.local_cluster import EcsCalls

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_connection_that_the_server_gave_up_in_a_pause_is_made_anew():
    connections = 0

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"{}")
        writer.write(ANSWER)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        calls = EcsCalls(f"http://127.0.0.1:{port}")
        assert await calls("ListClusters") == {}
        async with asyncio.timeout(10):
            while not calls.is_given_up:
                await asyncio.sleep(0)
        assert await calls("ListClusters") == {}
        calls.close()
    assert connections == 2
