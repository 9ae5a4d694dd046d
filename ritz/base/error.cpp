#include "ritz/base/error.h"

#include <cstdio>

namespace ritz {
namespace {

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
      continue;
    }
    char buffer[5];
    std::snprintf(buffer, sizeof buffer, "\\x%02x", byte);
    out += buffer;
  }
}

}  // namespace

std::string format_error(std::string_view what, std::string_view expected, std::string_view found,
                         std::string_view where) {
  std::string out;
  append_escaped(out, what);
  out += ": expected ";
  append_escaped(out, expected);
  out += ", found ";
  append_escaped(out, found);
  if (!where.empty()) {
    out += " (";
    append_escaped(out, where);
    out += ')';
  }
  return out;
}

}  // namespace ritz
