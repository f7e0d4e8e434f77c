// `tape reassign` and `snapshot reassign`: to another pool, once the cost was seen.
#pragma once

#include <string>

#include "gateway/cli/command_line.h"

namespace coldshelf::cli {

struct Move {
  std::string pool, tier = "Bulk";
  bool estimate = false, yes = false;
};
void add_move(CommandLine& line, CLI::App* command, Move& move);

struct MoveOrder {
  const char* key;  // of the name in the operations' input: "Barcode", "Archive"
  const std::string& name;
  const char* describe;  // the operations
  const char* estimate;
  const char* assign;
  const Move& move;
};
Status reassign(CommandLine& line, const MoveOrder& order);

}  // namespace coldshelf::cli
