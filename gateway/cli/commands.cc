#include "gateway/cli/commands.h"

#include "gateway/cli/command_line.h"
#include "gateway/cli/snapshot_output.h"

namespace coldshelf::cli {

void define_commands(CommandLine& line) {
  define_library_commands(line);
  define_tape_commands(line);
  define_pool_commands(line);
  define_key_commands(line);
  define_snapshot_commands(line);
  define_store_commands(line);
  define_volume_commands(line);
  define_notify_commands(line);
  define_policy_commands(line);
  define_alarm_commands(line);
  define_setup_commands(line);
  define_user_commands(line);
  define_settings_commands(line);
  define_resource_commands(line);
  define_other_commands(line);
  define_api_commands(line);
  define_reference_commands(line);
}

int run_command_line(const std::vector<std::string>& arguments, const CommandEnv& env) {
  CommandLine line(env);
  define_commands(line);
  return line.run(arguments);
}

}  // namespace coldshelf::cli
