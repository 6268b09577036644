"""Reads events over WebSocket, with the library websockets."""
import asyncio, json, random, urllib.parse
import websockets

async def subscribe(hub, topics, token, cursor=""):
    """Yields ("event", envelope) and ("gap", gap) without end. Raises PermissionError if permanently refused."""
    failures = 0
    while True:
        wait = 2 ** min(failures, 4) * (1 + random.random())  # seconds
        failures += 1
        query = urllib.parse.urlencode([("topic", topic) for topic in topics] + [("cursor", cursor)])
        detail = ""
        try:
            async with websockets.connect(
                f"{hub.replace('http', 'ws', 1)}/ws?{query}",
                extra_headers={"Authorization": "Bearer " + token},
                subprotocols=["trivium.v1"], max_size=None, close_timeout=2,
            ) as socket:
                while True:
                    message = json.loads(await asyncio.wait_for(socket.recv(), 45))  # three heartbeats
                    op = message.get("op")
                    if op is None:
                        yield "event", message
                    elif op == "gap":
                        yield "gap", message
                    elif op == "goaway":
                        wait = message["retry_ms"] / 1000
                    elif op == "error":
                        detail = message["detail"]
                    if op in (None, "hello", "heartbeat", "gap"):
                        cursor = message["id"]  # after it was handled
                    if op == "hello":
                        failures = 0
        except websockets.InvalidStatusCode as error:
            if error.status_code in (400, 401, 403):
                raise PermissionError(f"refused with {error.status_code}")
        except websockets.ConnectionClosed as error:
            if error.rcvd and error.rcvd.code in (4400, 4401, 4403):
                raise PermissionError(detail)
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
            pass
        await asyncio.sleep(wait)
