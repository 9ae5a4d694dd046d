#pragma once
#include <cstddef>
#include <string>

namespace ritz::app {

/// `text` broken at spaces into lines of at most 100 columns, all but the first indented; the first
/// is taken to stand at column `indent` already.
std::string wrap(const std::string& text, size_t indent);

}  // namespace ritz::app
