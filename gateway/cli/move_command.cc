#include "gateway/cli/move_command.h"

#include "catalog/catalog.h"
#include "gateway/cli/output.h"

namespace coldshelf::cli {

void add_move(CommandLine& line, CLI::App* command, Move& move) {
  command->add_option("--pool", move.pool, "the new pool")->required();
  command->add_option("--tier", move.tier, "of the restores it needs; default: Bulk");
  command->add_flag("--estimate", move.estimate, "say what it costs, and do nothing");
  command->add_flag("--yes", move.yes, "an archived one: go on after the cost was shown");
  line.add_wait(command, false);
}

// What the move of an archived one costs is seen before it begins.
Status reassign(CommandLine& line, const MoveOrder& order) {
  const Json input = {
      {order.key, order.name}, {"Pool", order.move.pool}, {"Tier", order.move.tier}};
  if (order.move.estimate) return line.show(order.estimate, input, print_move);
  ASSIGN_OR_RETURN(const Json known, line.call(order.describe, {{order.key, order.name}}));
  const bool archived = known.value("Status", "") == to_string(TapeStatus::archived);
  if (archived && !order.move.yes) {
    ASSIGN_OR_RETURN(const Json cost, line.call(order.estimate, input));
    print_move(line.err(), cost);
    return Error(ErrorCode::invalid_argument, "give --yes to go on");
  }
  ASSIGN_OR_RETURN(const Json done, line.call(order.assign, input));
  if (done.contains("JobId")) return line.follow_job(done, order.name);
  if (line.json()) {
    line.print_json(done);
  } else {
    line.out() << order.name << " is in pool " << order.move.pool << "\n";
  }
  return {};
}

}  // namespace coldshelf::cli
