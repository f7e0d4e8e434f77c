// One call of the S3 client on its way: private to s3_client*.cc.
#pragma once

#include "uploader/cloud/s3_client.h"

namespace coldshelf {

struct S3Client::Call {
  const char* operation = "";
  std::string key;  // empty: the bucket
  S3Headers query;
  S3Headers headers;         // signed
  std::string payload_hash;  // empty: of no body
  HttpRequest http;          // method, body, sink, time-outs
  std::string document;      // what http.body views
  bool error_in_success = false;
  std::string failed_with;               // S3's code, when it failed
  std::function<void()> before_sending;  // each time
};

}  // namespace coldshelf
