#pragma once
// What the targets share: a parser may refuse its bytes with an Error, and what it returns must be
// whole.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "ritz/base/error.h"
#include "ritz/io/bytes.h"
#include "ritz/io/summary.h"

namespace ritz::fuzz {

/// The input in a block of exactly its size, so that any byte beyond it is seen. Owned: views are
/// made.
inline io::Bytes bytes_of(const uint8_t* data, size_t size) {
  std::shared_ptr<std::byte> copy(static_cast<std::byte*>(std::malloc(size > 0 ? size : 1)),
                                  std::free);
  if (size > 0) std::memcpy(copy.get(), data, size);
  return {{copy.get(), size}, copy};
}

/// Reads every byte of an array.
inline void touch(const io::Array& array) {
  if (array.data != nullptr) (void)io::summarise(array, 1);
}
inline void touch(const std::vector<io::Array>& arrays) {
  for (const io::Array& array : arrays) touch(array);
}

template <class Parse>
void expect_errors_only(Parse&& parse) {
  try {
    parse();
  } catch (const Error&) {
    // refused, as it may be
  }
}

/// Gives the input a path, for libraries that open files by name.
template <class Use>
void with_path(const uint8_t* data, size_t size, Use&& use) {
  const int descriptor = ::memfd_create("fuzz", 0);
  if (descriptor < 0 || ::write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  use("/proc/self/fd/" + std::to_string(descriptor));
  ::close(descriptor);
}

}  // namespace ritz::fuzz
