#pragma once
// Comma-separated numbers: one row a line, a header line where the first line holds a word, an
// empty cell for NaN. Numbers are written in the fewest digits that read back to the same bits.
//
//   const auto table = ritz::io::parse_csv(ritz::io::open_bytes("log.csv"), "log.csv");
//   // table.values: float64 [rows, columns]; table.columns: the header's names, or none
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ritz/base/atomic_file.h"
#include "ritz/io/array.h"
#include "ritz/io/bytes.h"

namespace ritz::io {

struct CsvTable {
  Array values;                      // float64 [rows, columns]
  std::vector<std::string> columns;  // as many as columns, or none without a header line
  std::string note;  // what follows "# ritz " on the file's first line, if it begins so
};

/// A first line "# ritz ..." says where the file is from and is no row. Rows of unequal length and
/// cells that are no number are DataErrors that name the line (from 1).
/// Blank lines are skipped; lines may end in CR LF, cells may have blanks or quotes around them.
CsvTable parse_csv(const Bytes& bytes, std::string_view where);

/// The same read bit by bit, for files longer than memory and for pipes: `source(buffer, size)`
/// puts up to `size` bytes into the buffer and says how many, 0 at the end.
///
///     ritz::io::CsvReader reader(source, "log.csv");
///     std::vector<double> values;  // rows x reader.columns()
///     while (const int64_t rows = reader.read(1000, values)) use(rows, values);
class CsvReader {
 public:
  using Source = std::function<size_t(char* buffer, size_t size)>;
  /// Reads the first line. DataError where there is none.
  CsvReader(Source source, std::string where);
  ~CsvReader();
  int64_t columns() const;
  /// Replaces `values` by the next rows, at most so many; how many there were.
  int64_t read(int64_t rows, std::vector<double>& values);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The column of this name as float64 [rows]; DataError where it is not there or there twice.
Array csv_column(const CsvTable& table, std::string_view name, std::string_view where);

/// See write_arrays. An infinite value is a DataError, for CSV never holds one.
void write_csv(AtomicFile& file, const std::vector<Array>& arrays);

}  // namespace ritz::io
