// The stand-in as a program: for end-to-end tests, benchmarks and curiosity. What the world holds
// is said in commands, in arguments and then line by line on standard input; each answers with one
// line. Ends with SIGTERM or SIGINT.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <thread>

#include "base/sha256.h"
#include "tests/support/ebs_standin.h"

namespace coldshelf::test {

namespace {

constexpr const char* kCommands = R"(commands ($1 is what the first of them answered, and so on):
  volume SIZE_GIB [KEY=VALUE...] [encrypted] [fill=PER_MILLE] [seed=N] [random] [in=ACCOUNT/REGION]
                                       -> vol-...   (tags are KEY=VALUE)
  pattern VOLUME FIRST COUNT SEED [random|compressible]
  zeros|trim|touch VOLUME FIRST COUNT  -> ok
  snapshot VOLUME [KEY=VALUE...]       -> snap-...  completed
  instance VOLUME... [KEY=VALUE...]    -> i-...     the first volume is its root
  role ARN TRUSTED_ACCOUNT... [external=ID]
  fail OPERATION|any FAULT [COUNT [KEY_PART]]
  storm SEED ONE_IN [FAULT...]         (faults a client gets over by asking again, when none is named)
  latency MS
  limits off|on|NAME=VALUE...          (get put list start complete snapshot_get snapshot_put ec2 burst_ms)
  blocks SNAPSHOT                      -> COUNT and the SHA-256 over all of them, in order
  same SNAPSHOT SNAPSHOT               -> ok, or what differs
  count [OPERATION]                    -> requests so far
  throttled                            -> requests the limits refused
  rejections                           -> how many, and the first of them
  messages                             -> how many were published, and the last subject
  quit)";

struct World {
  EbsStandin& standin;
  EbsLimits limits;
  std::vector<std::string> answers;
};

using Words = std::vector<std::string>;

uint64_t number(const std::string& text) { return std::stoull(text); }

// Takes KEY=VALUE words off the end; the rest stays.
EbsTags take_tags(Words& words) {
  EbsTags tags;
  Words rest;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      rest.push_back(word);
    } else {
      tags[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
  words = rest;
  return tags;
}

std::string take(EbsTags& tags, const std::string& key, const std::string& otherwise) {
  const auto it = tags.find(key);
  if (it == tags.end()) return otherwise;
  std::string value = it->second;
  tags.erase(it);
  return value;
}

EbsPattern pattern_of(const std::string& name) {
  if (name == "random") return EbsPattern::random;
  if (name == "compressible") return EbsPattern::compressible;
  return EbsPattern::mixed;
}

std::string make_volume(World& world, Words words) {
  EbsVolumeSpec spec;
  EbsPlace place;
  spec.tags = take_tags(words);
  spec.fill_per_mille = static_cast<uint32_t>(number(take(spec.tags, "fill", "0")));
  spec.seed = number(take(spec.tags, "seed", "1"));
  const std::string in = take(spec.tags, "in", "");
  place.account = in.substr(0, in.find('/'));
  if (in.find('/') != std::string::npos) place.region = in.substr(in.find('/') + 1);
  spec.size_gib = number(words.at(1));
  for (size_t i = 2; i < words.size(); ++i) {
    if (words[i] == "encrypted") spec.encrypted = true;
    if (words[i] == "random") spec.pattern = EbsPattern::random;
    if (words[i] == "compressible") spec.pattern = EbsPattern::compressible;
  }
  return world.standin.make_volume(spec, place);
}

std::string set_limits(World& world, const Words& words) {
  EbsLimits& l = world.limits;
  const std::map<std::string, double*> names = {
      {"get", &l.get_per_s},           {"put", &l.put_per_s},
      {"list", &l.list_per_s},         {"start", &l.start_per_s},
      {"complete", &l.complete_per_s}, {"snapshot_get", &l.snapshot_get_per_s},
      {"ec2", &l.ec2_per_s},           {"snapshot_put", &l.snapshot_put_per_s},
      {"burst_ms", &l.burst_ms}};
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "on") l = EbsLimits{};
    if (words[i] == "off") {
      for (const auto& [name, value] : names) {
        if (name != "burst_ms") *value = 0;
      }
    }
    const size_t equals = words[i].find('=');
    if (equals != std::string::npos) {
      *names.at(words[i].substr(0, equals)) = std::stod(words[i].substr(equals + 1));
    }
  }
  world.standin.set_limits(l);
  return "ok";
}

std::string describe_blocks(World& world, const std::string& snapshot) {
  Sha256 all;
  const std::vector<uint64_t> blocks = world.standin.snapshot_blocks(snapshot);
  for (const uint64_t index : blocks) {
    const auto bytes = world.standin.snapshot_block(snapshot, index);
    all.update(as_view(std::to_string(index) + ":"));
    all.update(*bytes);
  }
  return std::to_string(blocks.size()) + " " + to_hex(all.finish());
}

std::string compare(World& world, const std::string& a, const std::string& b) {
  const std::vector<uint64_t> blocks = world.standin.snapshot_blocks(a);
  if (blocks != world.standin.snapshot_blocks(b)) return "other blocks are there";
  for (const uint64_t index : blocks) {
    if (*world.standin.snapshot_block(a, index) != *world.standin.snapshot_block(b, index)) {
      return "block " + std::to_string(index) + " differs";
    }
  }
  return "ok";
}

EbsOperation operation_of(const std::string& name) {
  for (size_t i = 0; i < kEbsOperations; ++i) {
    if (to_string(static_cast<EbsOperation>(i)) == name) return static_cast<EbsOperation>(i);
  }
  if (name != "any") throw std::invalid_argument("no operation " + name);
  return EbsOperation::unknown;
}

EbsFault fault_of(const std::string& name) {
  const auto fault = parse_ebs_fault(name);
  if (!fault) throw std::invalid_argument("no fault " + name);
  return *fault;
}

std::string set_storm(World& world, const Words& words) {
  EbsStorm storm{number(words.at(1)), number(words.at(2)), {}};
  for (size_t i = 3; i < words.size(); ++i) storm.faults.push_back(fault_of(words[i]));
  if (storm.faults.empty()) storm.faults = passing_ebs_faults();
  world.standin.set_storm(storm);
  return "ok";
}

std::string change_blocks(World& world, const Words& words) {
  EbsStandin& standin = world.standin;
  const uint64_t first = number(words.at(2));
  const uint64_t count = number(words.at(3));
  if (words[0] == "pattern") {
    standin.write_pattern(words[1], first, count, number(words.at(4)),
                          pattern_of(words.size() > 5 ? words[5] : ""));
  } else if (words[0] == "zeros") {
    standin.write_zeros(words[1], first, count);
  } else if (words[0] == "trim") {
    standin.trim(words[1], first, count);
  } else {
    standin.touch(words[1], first, count);
  }
  return "ok";
}

std::string look(World& world, const Words& words) {
  EbsStandin& standin = world.standin;
  if (words[0] == "blocks") return describe_blocks(world, words.at(1));
  if (words[0] == "same") return compare(world, words.at(1), words.at(2));
  if (words[0] == "throttled") return std::to_string(standin.throttled());
  if (words[0] == "count") {
    return std::to_string(words.size() > 1 ? standin.requests(operation_of(words[1]))
                                           : standin.requests());
  }
  if (words[0] == "rejections") {
    const auto all = standin.rejections();
    return std::to_string(all.size()) + (all.empty() ? "" : " " + all.front());
  }
  const auto all = standin.messages();
  return std::to_string(all.size()) + (all.empty() ? "" : " " + all.back().subject);
}

std::string perform(World& world, Words words) {
  EbsStandin& standin = world.standin;
  const std::string command = words.at(0);
  if (command == "volume") return make_volume(world, words);
  if (command == "pattern" || command == "zeros" || command == "trim" || command == "touch") {
    return change_blocks(world, words);
  }
  if (command == "snapshot") {
    const EbsTags tags = take_tags(words);
    return standin.make_snapshot(words.at(1), tags);
  }
  if (command == "instance") {
    const EbsTags tags = take_tags(words);
    return standin.make_instance(Words(words.begin() + 1, words.end()), tags);
  }
  if (command == "role") {
    EbsTags options = take_tags(words);
    standin.add_role(words.at(1), Words(words.begin() + 2, words.end()),
                     take(options, "external", ""));
    return "ok";
  }
  if (command == "fail") {
    standin.fail_next(operation_of(words.at(1)), fault_of(words.at(2)),
                      words.size() > 3 ? static_cast<unsigned>(number(words[3])) : 1,
                      words.size() > 4 ? words[4] : "");
    return "ok";
  }
  if (command == "storm") return set_storm(world, words);
  if (command == "limits") return set_limits(world, words);
  if (command == "latency") {
    standin.set_latency_ms(static_cast<int64_t>(number(words.at(1))));
    return "ok";
  }
  for (const char* name : {"blocks", "same", "count", "throttled", "rejections", "messages"}) {
    if (command == name) return look(world, words);
  }
  throw std::invalid_argument("no command " + command);
}

// False: the command could not be done.
bool command(World& world, const std::string& line) {
  std::istringstream text(line);
  Words words;
  for (std::string word; text >> word;) words.push_back(word);
  for (std::string& word : words) {
    const size_t n = word[0] == '$' ? std::strtoul(word.c_str() + 1, nullptr, 10) : 0;
    if (n > 0 && n <= world.answers.size()) word = world.answers[n - 1];
  }
  if (words.empty() || words[0][0] == '#') return true;
  std::string answer;
  bool done = true;
  try {
    answer = perform(world, words);
  } catch (const std::exception& wrong) {
    answer = "error: " + line + ": " + wrong.what();
    done = false;
  }
  world.answers.push_back(answer);
  std::printf("%s\n", answer.c_str());
  std::fflush(stdout);
  return done;
}

int run(int argc, char** argv) {
  EbsStandinOptions options;
  std::vector<std::string> accounts;
  std::vector<std::string> commands;
  bool no_limits = false;
  bool with_parent = false;
  CLI::App app{"AWS's EBS direct APIs, EC2, STS and SNS for tests, on loopback."};
  app.footer(kCommands);
  app.add_option("--port", options.port, "0: any; the endpoint is printed first");
  app.add_option("--region", options.regions, "regions that are served");
  app.add_option("--account", accounts, "ID:ACCESS_KEY:SECRET_KEY; the first one is the default");
  app.add_option("--latency-ms", options.latency_ms, "before every answer");
  app.add_option("--pending-ms", options.pending_ms, "until a snapshot is completed");
  app.add_option("--create-interval-ms", options.create_interval_ms,
                 "between snapshots of a volume");
  app.add_option("--early-not-found", options.early_not_found_puts,
                 "so many of a snapshot's first puts answer 404");
  app.add_option("--page-items", options.ec2_page_items, "of EC2's answers, at most");
  app.add_option("--burst-ms", options.limits.burst_ms, "what the quotas' buckets hold");
  app.add_option("--threads", options.threads);
  app.add_flag("--no-limits", no_limits, "no quotas");
  app.add_flag("--with-parent", with_parent, "end when who started it ends");
  app.add_option("--do", commands, "a command, see below; may be given several times");
  CLI11_PARSE(app, argc, argv);
  if (with_parent) ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (!accounts.empty()) options.accounts.clear();
  for (const std::string& text : accounts) {
    const size_t a = text.find(':');
    const size_t b = a == std::string::npos ? a : text.find(':', a + 1);
    if (b == std::string::npos) {
      std::fprintf(stderr, "coldshelf_ebs_standin: --account ID:ACCESS_KEY:SECRET_KEY\n");
      return 2;
    }
    options.accounts.push_back(
        {text.substr(0, a), text.substr(a + 1, b - a - 1), text.substr(b + 1)});
  }
  if (no_limits)
    options.limits = EbsLimits{0, 0, 0, 0, 0, 0, 0, 0, options.limits.burst_ms, 100, 100'000};
  sigset_t ends;  // blocked before the first thread begins
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  auto standin = EbsStandin::start(options);
  if (!standin.ok()) {
    std::fprintf(stderr, "coldshelf_ebs_standin: %s\n", standin.error().message().c_str());
    return 1;
  }
  std::printf("%s\n", standin.value()->endpoint().c_str());
  std::fflush(stdout);
  World world{**standin, options.limits, {}};
  for (const std::string& line : commands) {
    if (!command(world, line)) return 1;
  }
  // Detached: it may wait for a line for ever. `quit`, not the end of the input, ends the program.
  std::thread([&world] {
    for (std::string line; std::getline(std::cin, line);) {
      if (line == "quit") {
        ::kill(::getpid(), SIGTERM);
        return;
      }
      command(world, line);
    }
  }).detach();
  int ended_by = 0;
  sigwait(&ends, &ended_by);
  std::fflush(stdout);
  std::_Exit(0);  // the reading thread still looks at the world
}

}  // namespace

}  // namespace coldshelf::test

int main(int argc, char** argv) { return coldshelf::test::run(argc, argv); }
