"""An HTTP server of a test: on a free port of the loopback interface, in threads of its own."""

import http.server
import threading


class LoopbackServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)

    def start(self):
        """Serves from now on; what the handler reads must be there."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()
