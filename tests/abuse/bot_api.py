"""A Telegram on loopback that is well, answers 500, or answers nothing."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class BotApi:
    def __init__(self):
        self.mode, self.messages = "well", []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.do_POST()

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                method = self.path.rsplit("/", 1)[-1].lower()
                deadline = time.monotonic() + 600
                while api.mode == "nothing" and time.monotonic() < deadline:
                    time.sleep(0.1)
                    if method == "sendmessage" and api.mode != "nothing":
                        # It hung up on this one long ago.
                        self.close_connection = True
                        return
                if api.mode == "500":
                    return self.answer(500, {"ok": False, "error_code": 500, "description": "Internal Server Error"})
                self.answer(200, {"ok": True, "result": api.result(method, body)})

            def answer(self, status, value):
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def result(self, method, body):
        if method == "getme":
            return {"id": 123456, "is_bot": True, "first_name": "Abuse", "username": "abuse_bot",
                    "can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False,
                    "can_connect_to_business": False, "has_main_web_app": False}
        if method == "getupdates":
            time.sleep(1)
            return []
        if method in ("sendmessage", "editmessagetext"):
            sent = json.loads(body or b"{}")
            self.messages.append(sent.get("text", ""))
            return {"message_id": len(self.messages), "date": int(time.time()), "text": "x",
                    "chat": {"id": int(sent.get("chat_id", 1)), "type": "private", "first_name": "A"}}
        return True
