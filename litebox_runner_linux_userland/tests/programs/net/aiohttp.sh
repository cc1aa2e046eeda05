# aiohttp serves and asks, web sockets too; requests asks the same server from threads.
cat >it.py <<'PY'
import asyncio
import concurrent.futures
import aiohttp
import requests
from aiohttp import web


async def echo(request):
    body = await request.read()
    return web.json_response({"path": request.path, "query": dict(request.query), "length": len(body)})


async def talk(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for n in range(50):
        await response.write(b"x" * 10000)
    await response.write_eof()
    return response


def with_requests(at):
    session = requests.Session()
    print(session.post(at + "/echo", data=b"y" * 300000, params={"a": "b"}).json())
    print(len(session.get(at + "/stream").content))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: requests.get(f"{at}/echo/{n}").status_code, range(40))
        print(sorted(set(answers)))
    try:
        requests.get("http://127.0.0.1:1/", timeout=5)
    except requests.ConnectionError as error:
        print("refused" if "Connection refused" in str(error) else error)


async def main():
    application = web.Application(client_max_size=1 << 20)
    application.add_routes([web.route("*", "/echo{rest:.*}", echo), web.get("/talk", talk), web.get("/stream", stream)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    at = "http://127.0.0.1:%d" % runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(*(session.post(f"{at}/echo/{n}", data="z" * n) for n in range(60)))
        print(sum([(await answer.json())["length"] for answer in answers]))
        async with session.ws_connect(at + "/talk") as socket:
            for word in ("one", "two"):
                await socket.send_str(word)
                print((await socket.receive()).data)
    await asyncio.get_running_loop().run_in_executor(None, with_requests, at)
    await runner.cleanup()


asyncio.run(main())
PY
/usr/bin/python3 it.py
