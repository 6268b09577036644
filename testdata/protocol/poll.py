"""Reads events by long-poll."""
import http.client, json, random, time, urllib.error, urllib.parse, urllib.request

def subscribe(hub, topics, token, cursor=""):
    """Yields ("event", envelope) and ("gap", gap) without end. Raises PermissionError if permanently refused."""
    failures = 0
    while True:
        query = [("topic", topic) for topic in topics]
        query.append(("wait", "25" if cursor else "0"))  # without a cursor, request the newest cursor
        request = urllib.request.Request(f"{hub}/poll?{urllib.parse.urlencode(query)}")
        request.add_header("Authorization", "Bearer " + token)
        if cursor:
            request.add_header("Last-Event-ID", cursor)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = json.load(answer)
                headers = answer.headers
        except urllib.error.HTTPError as error:
            body, headers = None, error.headers
            if headers.get_content_type() == "application/problem+json":
                problem = json.load(error)
                if problem["status"] < 500 and problem["status"] not in (408, 429):
                    raise PermissionError(problem["detail"])
        except (OSError, ValueError, http.client.HTTPException):
            body, headers = None, {}
        if body:
            if "gap" in body:
                yield "gap", body["gap"]
            for event in body["events"]:
                yield "event", event
            cursor = body["cursor"]  # after the events were handled
            failures = 0
            if "Retry-After" not in headers:
                continue
        wait = 2 ** min(failures, 4) * (1 + random.random())  # seconds
        failures += 1
        time.sleep(max(wait, int(headers.get("Retry-After", 0))))
