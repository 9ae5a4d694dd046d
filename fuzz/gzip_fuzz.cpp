#include "ritz/io/deflate.h"

#include "fuzz/fuzz.h"

using namespace ritz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The declared size comes from the input too, so that right and wrong ones are met.
  if (size < 2) return 0;
  const size_t declared = data[0] | size_t{data[1]} << 8;
  const io::Bytes bytes = fuzz::bytes_of(data + 2, size - 2);
  fuzz::expect_errors_only([&] { (void)io::gunzip(bytes.span, declared, "input"); });
  fuzz::expect_errors_only([&] { (void)io::gunzip_prefix(bytes.span, declared, "input"); });
  fuzz::expect_errors_only([&] { (void)io::inflate_raw(bytes.span, declared, "input"); });
  fuzz::expect_errors_only([&] { (void)io::inflate_prefix(bytes.span, declared, "input"); });
  return 0;
}
