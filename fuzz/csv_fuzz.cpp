#include "ritz/io/csv.h"

#include "fuzz/fuzz.h"

using namespace ritz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const io::Bytes bytes = fuzz::bytes_of(data, size);
  fuzz::expect_errors_only([&] {
    const io::CsvTable table = io::parse_csv(bytes, "input");
    fuzz::touch(table.values);
    if (!table.columns.empty()) fuzz::touch(io::csv_column(table, table.columns.front(), "input"));
  });
  return 0;
}
