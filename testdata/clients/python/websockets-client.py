"""Debian's python3-websockets."""
import asyncio
import json
import os
import random

import websockets


async def main():
    cursor = ""
    while True:
        try:
            address = os.environ["HUB"].replace("http", "ws", 1) + "/ws?topic=show&cursor=" + cursor
            async with websockets.connect(address) as socket:
                async for text in socket:
                    message = json.loads(text)
                    cursor = message.get("id", cursor)
                    if "op" not in message:
                        print(message["data"]["n"], flush=True)
        except (OSError, websockets.WebSocketException):
            pass
        await asyncio.sleep(random.uniform(0.5, 2))


asyncio.run(main())
