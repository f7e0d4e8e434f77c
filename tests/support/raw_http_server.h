// A TCP server whose every connection is handled by the test: for answers no real server gives.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace coldshelf::test {

class RawConnection {
 public:
  RawConnection(int fd, unsigned number) : fd_(fd), number_(number) {}
  unsigned number() const { return number_; }  // of the connections so far, from 0

  // One request: its header, and its body as far as Content-Length says. Empty: the peer went.
  struct Request {
    std::string head;
    std::string body;
  };
  Request read_request();
  std::string read_head();
  void send(std::string_view text);
  void reset();          // RST instead of FIN
  void wait_for_peer();  // until the peer closes, or the server stops

 private:
  int fd_;
  unsigned number_;
  std::string buffered_;
};

class RawHttpServer {
 public:
  using Handler = std::function<void(RawConnection&)>;
  explicit RawHttpServer(Handler handler);  // on a free port of 127.0.0.1
  ~RawHttpServer();
  RawHttpServer(const RawHttpServer&) = delete;
  RawHttpServer& operator=(const RawHttpServer&) = delete;
  int port() const { return port_; }
  std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  unsigned connections();

 private:
  void accept_all();
  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> handlers_;
  bool stopping_ = false;
  std::thread acceptor_;
};

}  // namespace coldshelf::test
