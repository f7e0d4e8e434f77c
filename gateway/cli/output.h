// What the command line prints: tables for people.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace coldshelf::cli {

using Json = nlohmann::json;

// Control characters (C0, DEL and C1, of UTF-8) as \xNN: what others named must neither move the
// reader's cursor nor begin a line of its own. The second one: every text in it, names not.
std::string printable(std::string_view text);
Json printable_json(const Json& value);

// Columns as wide as their widest cell; the last one is not padded.
void print_table(std::ostream& out, const std::vector<std::string>& header,
                 const std::vector<std::vector<std::string>>& rows);

void print_tapes(std::ostream& out, const Json& tapes);
std::string money(double amount, const std::string& currency);
void print_pools(std::ostream& out, const Json& answer);
void print_estimate(std::ostream& out, const Json& answer);
void print_move(std::ostream& out, const Json& answer);
void print_tape(std::ostream& out, const Json& tape);
void print_library(std::ostream& out, const Json& library);
void print_jobs(std::ostream& out, const Json& jobs);
void print_status(std::ostream& out, const Json& status);
std::string key_text(const Json& tape);  // "" when it is not encrypted
void print_keys(std::ostream& out, const Json& answer);
void print_sessions(std::ostream& out, const Json& sessions);

}  // namespace coldshelf::cli
