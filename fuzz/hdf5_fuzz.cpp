#include "ritz/io/hdf5.h"

#include "fuzz/child_coverage.h"
#include "fuzz/fuzz.h"

using namespace ritz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::with_path(data, size, [](const std::string& path) {
    fuzz::with_children(
        [&] { fuzz::expect_errors_only([&] { fuzz::touch(io::read_hdf5(path, "")); }); });
  });
  return 0;
}
