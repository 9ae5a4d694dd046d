#pragma once
// `--block none|N`: the blocks of an inverse Fisher matrix.
#include <cstdint>
#include <string>

#include "apps/ritz/frame/options.h"

namespace ritz::app {

inline void declare_block(Options& options, std::string& block, const std::string& help) {
  options.option("--block", block, "none|N", help).verify = [](const std::string& text) {
    const bool number = !text.empty() && text.size() < 16 && text[0] != '0' &&
                        text.find_first_not_of("0123456789") == text.npos;
    return text == "none" || number ? "" : "none, or a whole number >= 1";
  };
}

/// 0 for none.
inline int64_t block_width(const std::string& block) {
  return block == "none" ? 0 : std::stoll(block);
}

}  // namespace ritz::app
