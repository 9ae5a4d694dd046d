#pragma once
// --config: the part of TOML that options can say. Tables, dotted and quoted keys, strings,
// integers, floats, booleans and arrays of those (over several lines too), comments.
#include <string>
#include <vector>

namespace ritz::app {

/// `[a.b]` then `key = value`: path {"a", "b", "key"}; one word a scalar, several for an array.
struct ConfigEntry {
  std::vector<std::string> path;
  std::vector<std::string> words;
  std::string where;  // "run.toml, line 3"
};

/// Reads a file's entries in order. A file that cannot be read is a DataError; text that is not
/// such TOML, and a key given twice, are a UsageError naming the line.
std::vector<ConfigEntry> read_config(const std::string& path);

}  // namespace ritz::app
