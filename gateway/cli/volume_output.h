// Volumes and recovery points as tables for people.
#pragma once

#include "gateway/cli/output.h"

namespace coldshelf::cli {

void print_volumes(std::ostream& out, const Json& answer);
void print_volume(std::ostream& out, const Json& volume);
void print_detached_volumes(std::ostream& out, const Json& answer);
void print_volume_schedules(std::ostream& out, const Json& answer);
void print_points(std::ostream& out, const Json& points);

}  // namespace coldshelf::cli
