#include "bench/store_upload.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <thread>

namespace coldshelf::bench {

namespace {

constexpr uint64_t kFileBytes = 64 * MiB;

struct Ran {
  double seconds = 0;
  double cpu_seconds = 0;
};

// To its end, with the processor time of it and its children.
Result<Ran> run_timed(const std::vector<std::string>& command, const std::string& log) {
  std::vector<char*> arguments;
  for (const std::string& a : command) arguments.push_back(const_cast<char*>(a.c_str()));  // NOLINT
  arguments.push_back(nullptr);
  SystemClock clock;
  const int64_t start = clock.monotonic_ns();
  const pid_t pid = ::fork();
  if (pid < 0) return error_from_errno(errno, "fork");
  if (pid == 0) {
    const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(fd, 1);
    ::dup2(fd, 2);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  if (::wait4(pid, &status, 0, &usage) != pid) return error_from_errno(errno, "wait4");
  Ran ran;
  ran.seconds = static_cast<double>(clock.monotonic_ns() - start) / 1e9;
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  ran.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    const auto said = PosixFileSystem().read_file(log);
    return Error(ErrorCode::internal, command[0] + " failed: " + (said.ok() ? to_text(*said) : ""));
  }
  return ran;
}

Status make_files(const std::string& directory, const std::string& digests, unsigned files) {
  std::filesystem::create_directories(directory);
  std::filesystem::create_directories(digests);
  PosixFileSystem disk;
  Buffer content(kFileBytes);
  for (unsigned i = 0; i < files; ++i) {
    SeededRandom(i + 1).fill(content);
    char name[32];
    std::snprintf(name, sizeof name, "/%04u.seg", i);
    ASSIGN_OR_RETURN(const auto file, disk.open(directory + name, OpenMode::create));
    TRY(file->write_at(0, content));
    TRY(file->sync());
    // As a gateway knows it since the segment was written.
    ASSIGN_OR_RETURN(const auto digest, disk.open(digests + name, OpenMode::create));
    TRY(digest->write_at(0, Sha256::of(content)));
  }
  return {};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

struct Contender {
  std::string name;
  std::vector<std::string> command;
  std::vector<double> mb_per_s;
  std::vector<double> cpu_per_gib;
  double speed() const { return mb_per_s.empty() ? 0 : median(mb_per_s); }
  double cpu() const { return cpu_per_gib.empty() ? 0 : median(cpu_per_gib); }
};

std::vector<Contender> contenders(const StoreServer& server, const UploadSettings& settings,
                                  const std::string& files) {
  // Neither somebody's certificates nor somebody's proxy stands between.
  std::vector<std::string> env = {"env", "-u", "AWS_CA_BUNDLE", "NO_PROXY=*", "no_proxy=*"};
  const std::vector<std::string> variables = server.environment();
  env.insert(env.end(), variables.begin(), variables.end());
  const auto with_env = [&](std::vector<std::string> command) {
    command.insert(command.begin(), env.begin(), env.end());
    return command;
  };
  const std::string threads = std::to_string(settings.threads);
  const std::string target = server.bucket() + "/upload";
  std::vector<std::string> ours = {settings.self, "--as-upload-client",
                                   "--endpoint",  server.endpoint(),
                                   "--bucket",    server.bucket(),
                                   "--prefix",    "upload",
                                   "--files-in",  files,
                                   "--threads",   threads};
  std::vector<std::string> hashing = ours;
  hashing.push_back("--hash");
  std::vector<Contender> all;
  all.push_back({"coldshelf", with_env(ours), {}, {}});
  all.push_back({"coldshelf, hashing", with_env(hashing), {}, {}});
  if (run_command({"rclone", "version"}).ok()) {
    all.push_back({"rclone",
                   with_env({"rclone", "copy", files, ":s3:" + target, "--config", "/dev/null",
                             "--s3-provider=Other", "--s3-env-auth=true",
                             "--s3-endpoint=" + server.endpoint(), "--s3-region=us-east-1",
                             "--s3-no-check-bucket", "--ignore-times", "--transfers", threads}),
                   {},
                   {}});
  }
  // Debian's, wherever else there may be one.
  const std::string aws = ::access("/usr/bin/aws", X_OK) == 0 ? "/usr/bin/aws" : "aws";
  if (run_command({aws, "--version"}).ok()) {
    all.push_back({"aws s3 cp",
                   with_env({aws, "--endpoint-url", server.endpoint(), "s3", "cp", "--recursive",
                             "--only-show-errors", files, "s3://" + target}),
                   {},
                   {}});
  }
  return all;
}

}  // namespace

Status run_upload(StoreServer& server, const UploadSettings& settings) {
  const ScratchDirectory scratch(settings.directory);
  const std::string files = scratch.path() + "/files";
  TRY(make_files(files, scratch.path() + "/digests", settings.files));
  const double mb = static_cast<double>(settings.files * kFileBytes) / 1e6;
  const double gib = static_cast<double>(settings.files * kFileBytes) / static_cast<double>(GiB);
  std::vector<Contender> all = contenders(server, settings, files);
  for (unsigned round = 0; round < settings.rounds; ++round) {
    for (Contender& c : all) {
      TRY(server.remove_everything("upload/"));
      ASSIGN_OR_RETURN(const Ran ran, run_timed(c.command, scratch.path() + "/log"));
      c.mb_per_s.push_back(mb / ran.seconds);
      c.cpu_per_gib.push_back(ran.cpu_seconds / gib);
    }
  }
  TRY(server.remove_everything("upload/"));
  double best_speed = 0;
  double best_cpu = 0;
  std::printf("%s, upload of %u x 64 MiB, median of %u:\n", server.name().c_str(), settings.files,
              settings.rounds);
  for (const Contender& c : all) {
    std::printf("  %-20s %6.0f MB/s  %5.2f CPU s/GiB\n", c.name.c_str(), c.speed(), c.cpu());
    if (c.name.starts_with("coldshelf")) continue;
    if (c.speed() > best_speed) {
      best_speed = c.speed();
      best_cpu = c.cpu();
    }
  }
  if (best_speed > 0) {
    const double speed = all[0].speed() / best_speed;
    const double cpu = all[0].cpu() / best_cpu;
    std::printf(
        "  to the faster of them: %.2fx its MB/s (goal 1.0x %s), %.2fx its CPU (goal 0.5x "
        "%s)\n",
        speed, speed >= 1.0 ? "met" : "MISSED", cpu, cpu <= 0.5 ? "met" : "MISSED");
  } else {
    std::printf("  neither rclone nor aws is installed: nothing to compare with\n");
  }
  std::fflush(stdout);
  return {};
}

Status run_upload_client(const UploadClient& client) {
  SystemClock clock;
  SystemRandom random;
  PosixFileSystem disk;
  S3StoreOptions options;
  options.client.bucket = client.bucket;
  options.client.region = "us-east-1";
  options.client.endpoint = client.endpoint;
  options.prefix = client.prefix;
  ASSIGN_OR_RETURN(auto transport, make_curl_transport({}));
  const auto variable = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string(text != nullptr ? text : "");
  };
  Credentials credentials;
  credentials.access_key_id = variable("AWS_ACCESS_KEY_ID");
  credentials.secret_access_key = Secret(variable("AWS_SECRET_ACCESS_KEY"));
  ASSIGN_OR_RETURN(const auto store,
                   S3Store::create(options, std::move(transport),
                                   make_static_credentials(credentials), clock, random));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, disk.list(client.directory));
  std::atomic<size_t> next{0};
  std::mutex mutex;
  Status failed;
  const auto send = [&](const std::string& name) -> Status {
    ASSIGN_OR_RETURN(const auto file, disk.open(client.directory + "/" + name, OpenMode::read));
    PutSource source;
    source.file = file.get();
    ASSIGN_OR_RETURN(source.size, file->size());
    if (client.hash) {
      Sha256 sha;
      Buffer piece(1 * MiB);
      for (uint64_t at = 0; at < source.size; at += piece.size()) {
        TRY(file->read_at(at, piece));
        sha.update(piece);
      }
      source.sha256 = sha.finish();
    } else {
      PosixFileSystem files;
      const std::string path = client.directory + "/../digests/" + name;
      ASSIGN_OR_RETURN(const Buffer digest, files.read_file(path));
      std::copy(digest.begin(), digest.end(), source.sha256.begin());
    }
    const auto put = store->put(name, source, {});
    return put.ok() ? Status() : Status(put.error());
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < client.threads; ++t) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < names.size(); i = next++) {
        Status done = send(names[i]);
        const std::lock_guard lock(mutex);
        if (!done.ok()) failed = std::move(done);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  return failed;
}

}  // namespace coldshelf::bench
