"""Posts what the libraries signed, and for each right request one whose body was changed on its way."""

import http.client
import json
import os
import sys
from urllib.parse import urlsplit

# What each verdict is answered: the status, and a word that stands in the body.
EXPECTED = {"valid": (200, ""), "invalid": (401, "invalid_signature"), "stale": (401, "stale_signature"), "changed": (401, "invalid_signature")}


def post(handler, headers, body):
    base = urlsplit(os.environ["BASE"])
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=10)
    connection.request("POST", f"/webhooks/{handler}", body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def main():
    with open(sys.argv[1], encoding="utf-8") as lines:
        requests = [json.loads(line) for line in lines]
    cases = []
    for request in requests:
        body = request["body"].encode()
        if request["verdict"] == "valid":
            # Changed first: the right one must still be taken afterwards, under the same delivery id.
            cases.append((request, "changed", body.replace(b"Caf", b"Cof").replace(b"Zo", b"Za")))
        cases.append((request, request["verdict"], body))
    wrong = 0
    for request, verdict, body in cases:
        status, text = post(request["handler"], request["headers"], body)
        expected, word = EXPECTED[verdict]
        good = status == expected and word in text
        wrong += not good
        print(f"interop: {'ok ' if good else 'BAD'} {request['library']}: {verdict} → {status}{'' if good else ' ' + text[:300]}")
    libraries = {request["library"] for request in requests}
    print(f"interop: {len(cases)} requests signed by {len(libraries)} libraries, {wrong} answered wrongly")
    sys.exit(1 if wrong else 0)


main()
