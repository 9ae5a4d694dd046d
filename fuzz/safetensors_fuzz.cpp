#include "ritz/io/safetensors.h"

#include "fuzz/fuzz.h"

using namespace ritz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const io::Bytes bytes = fuzz::bytes_of(data, size);
  fuzz::expect_errors_only([&] { fuzz::touch(io::parse_safetensors(bytes, "input").arrays); });
  return 0;
}
