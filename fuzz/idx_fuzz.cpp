#include "ritz/io/idx.h"

#include "fuzz/fuzz.h"

using namespace ritz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const io::Bytes bytes = fuzz::bytes_of(data, size);
  fuzz::expect_errors_only([&] { (void)io::list_idx(bytes, "input"); });
  fuzz::expect_errors_only([&] { fuzz::touch(io::parse_idx(bytes, "input")); });
  return 0;
}
