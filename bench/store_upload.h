// Segments of 64 MiB into one server by three clients in turn: ours, Debian's rclone and aws.
#pragma once

#include "bench/store_server.h"

namespace coldshelf::bench {

struct UploadSettings {
  unsigned files = 32;
  unsigned threads = 4;  // of ours and rclone's transfers; aws has ten connections of its own
  unsigned rounds = 3;
  std::string directory;
  std::string self;  // this program, which runs itself as the client
};
Status run_upload(StoreServer& server, const UploadSettings& settings);

// The client: a process of its own, so that its processor time can be told from everything else.
struct UploadClient {
  std::string endpoint;
  std::string bucket;
  std::string prefix;
  std::string directory;
  unsigned threads = 4;
  bool hash = false;  // compute the digests too; the gateway knows them from writing
};
Status run_upload_client(const UploadClient& client);

}  // namespace coldshelf::bench
