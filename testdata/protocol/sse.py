"""Reads events over SSE."""
import http.client, json, random, time, urllib.error, urllib.parse, urllib.request

def subscribe(hub, topics, token, cursor=""):
    """Yields ("event", envelope) and ("gap", gap) without end. Raises PermissionError if permanently refused."""
    query = urllib.parse.urlencode([("envelope", "1")] + [("topic", topic) for topic in topics])
    failures = 0
    while True:
        wait = 2 ** min(failures, 4) * (1 + random.random())  # seconds
        failures += 1
        request = urllib.request.Request(f"{hub}/sse?{query}")
        request.add_header("Authorization", "Bearer " + token)
        request.add_header("Accept", "text/event-stream")
        if cursor:
            request.add_header("Last-Event-ID", cursor)
        refused = None
        try:
            answer = urllib.request.urlopen(request, timeout=45)  # three heartbeats
        except urllib.error.HTTPError as error:
            answer = None
            if error.headers.get_content_type() == "application/problem+json":
                refused = json.load(error)
        except (OSError, http.client.HTTPException):
            answer = None
        fields, data = {}, []
        while answer:
            try:
                line = answer.readline().decode()
            except (OSError, http.client.HTTPException):
                break
            if not line.endswith("\n"):
                break  # the end; ignore an incomplete block
            name, _, value = line.rstrip("\n").partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name:
                fields[name] = value
            elif data:
                message, event = json.loads("\n".join(data)), fields.get("event")
                if event is None:
                    yield "event", message
                    failures = 0
                elif event == "trivium.gap":
                    yield "gap", message
                elif event == "trivium.error":
                    refused = message
                cursor = fields.get("id", cursor)  # after the event was handled
                if "retry" in fields:
                    wait = int(fields["retry"]) / 1000
                fields, data = {}, []
        if refused and refused["status"] < 500 and refused["status"] not in (408, 429):
            raise PermissionError(refused["detail"])
        time.sleep(wait)
