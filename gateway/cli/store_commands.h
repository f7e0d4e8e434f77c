// `coldshelf store verify`, `store gc` and `recover`, with no daemon: straight on a store.
#pragma once

#include <string>

#include "gateway/cli/client.h"
#include "gateway/cli/commands.h"
#include "gateway/config.h"
#include "gateway/recover.h"
#include "gateway/secrets.h"

namespace coldshelf::cli {

// A store by its URL; empty: the one of the configuration. `read_only`: nothing is made or changed,
// as for readers beside a running gateway.
Result<std::unique_ptr<ObjectStore>> open_store(const CommandEnv& env, Config config,
                                                const std::string& url, bool read_only);

Result<Json> verify_store(const CommandEnv& env, ObjectStore& store, const LoadedSecrets& secrets,
                          bool deep, bool json);
Result<Json> collect_store(const CommandEnv& env, ObjectStore& store, bool dry_run,
                           int64_t min_age_ms, bool json);
Result<RecoverReport> recover_data(const CommandEnv& env, ObjectStore& store,
                                   RecoverRequest request, bool json);

Json to_json(const RecoverReport& report);
void print_verify(std::ostream& out, const Json& report);
void print_gc(std::ostream& out, const Json& report, bool dry_run);
void print_recover(std::ostream& out, const RecoverReport& report, const std::string& data_dir);
void print_shelf(std::ostream& out, const Json& tapes);

}  // namespace coldshelf::cli
