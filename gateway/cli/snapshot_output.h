// Archives of EBS volumes for people.
#pragma once

#include "gateway/cli/output.h"

namespace coldshelf::cli {

class CommandLine;
void define_snapshot_commands(CommandLine& line);  // snapshot_commands.cc

void print_archives(std::ostream& out, const Json& answer);
void print_archive(std::ostream& out, const Json& archive);
void print_ec2_snapshots(std::ostream& out, const Json& answer);

}  // namespace coldshelf::cli
