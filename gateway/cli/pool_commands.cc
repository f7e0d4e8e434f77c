#include "gateway/cli/command_line.h"
#include "gateway/cli/output.h"

namespace coldshelf::cli {

namespace {

struct Values {
  std::string name, storage_class, mode, lock = "none";
  unsigned lock_days = 0;
};

}  // namespace

void define_pool_commands(CommandLine& line) {
  auto v = std::make_shared<Values>();
  CLI::App* pool = line.group("pool", "where archived tapes go");
  line.command(
      pool, "list", "pools, what is in them and what that costs a month",
      [&line] { return line.show("ListPools", Json::object(), print_pools); },
      "  coldshelf pool list");
  CLI::App* create = line.command(
      pool, "create", "make a pool; it cannot be changed",
      [&line, v] {
        return line.act("CreatePool",
                        {{"Name", v->name},
                         {"StorageClass", v->storage_class},
                         {"Mode", v->mode},
                         {"Lock", v->lock},
                         {"LockDays", v->lock_days}},
                        [](const Json& a) { return "pool " + a.value("Name", "") + " is there"; });
      },
      "  coldshelf pool create cold --class DEEP_ARCHIVE\n"
      "  coldshelf pool create legal --class GLACIER_IR --lock compliance --lock-days 3650");
  create->add_option("name", v->name, "1 to 100 characters")->required();
  create->add_option("--class", v->storage_class, "S3's storage class, e.g. GLACIER")->required();
  create->add_option("--mode", v->mode, "direct or staged; default: as the class suggests");
  create->add_option("--lock", v->lock, "none, governance or compliance");
  create->add_option("--lock-days", v->lock_days, "how long archived tapes stay locked");
  line.command(
          pool, "delete", "delete a pool that has no tapes",
          [&line, v] {
            return line.act("DeletePool", {{"Name", v->name}}, [](const Json& a) {
              return "pool " + a.value("Name", "") + " is gone";
            });
          },
          "  coldshelf pool delete cold")
      ->add_option("name", v->name, "the pool")
      ->required();
}

}  // namespace coldshelf::cli
