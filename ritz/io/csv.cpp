#include "ritz/io/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "ritz/base/error.h"
#include "ritz/io/half.h"

namespace ritz::io {
namespace {

std::string_view trimmed(std::string_view cell) {
  while (!cell.empty() && (cell.front() == ' ' || cell.front() == '\t')) cell.remove_prefix(1);
  while (!cell.empty() && (cell.back() == ' ' || cell.back() == '\t')) cell.remove_suffix(1);
  return cell;
}

bool parse_number(std::string_view cell, double& value) {
  if (cell.size() >= 2 && cell.front() == '"' && cell.back() == '"') {
    cell = trimmed(cell.substr(1, cell.size() - 2));
  }
  if (cell.empty()) {
    value = std::numeric_limits<double>::quiet_NaN();
    return true;
  }
  if (cell.front() == '+' && cell.size() > 1 && cell[1] != '-') cell.remove_prefix(1);
  const auto result = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (result.ptr != cell.data() + cell.size()) return false;
  if (result.ec == std::errc::result_out_of_range) {
    // from_chars leaves the value alone; strtod's answer is the rounded one: zero or infinity.
    value = std::strtod(std::string(cell).c_str(), nullptr);
    return true;
  }
  return result.ec == std::errc();
}

/// The cells of one line; a comma inside quotes does not separate. Writes over `cells`.
void split(std::string_view line, std::vector<std::string_view>& cells) {
  cells.clear();
  size_t begin = 0;
  bool quoted = false;
  for (size_t i = 0; i <= line.size(); ++i) {
    if (i == line.size() || (line[i] == ',' && !quoted)) {
      cells.push_back(trimmed(line.substr(begin, i - begin)));
      begin = i + 1;
    } else if (line[i] == '"') {
      quoted = !quoted;
    }
  }
}

std::string unquoted(std::string_view cell) {
  if (cell.size() < 2 || cell.front() != '"' || cell.back() != '"') return std::string(cell);
  std::string text;
  for (size_t i = 1; i + 1 < cell.size(); ++i) {
    text += cell[i];
    if (cell[i] == '"' && cell[i + 1] == '"' && i + 2 < cell.size()) ++i;
  }
  return text;
}

std::string quoted(const std::string& name) {
  double number = 0;
  const bool plain = name.find_first_of(",\"\r\n") == std::string::npos && trimmed(name) == name;
  if (plain && !name.empty() && !parse_number(name, number)) return name;
  std::string text = "\"";
  for (const char c : name) {
    if (c == '"') text += '"';
    text += c;
  }
  return text + '"';
}

/// Calls visit(line, number from 1) for every line that is not blank.
template <class Visit>
void for_each_line(std::string_view text, Visit&& visit) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!trimmed(line).empty()) visit(line, number);
  }
}

std::string at_line(std::string_view where, size_t line) {
  return std::string(where) + ", line " + std::to_string(line);
}

/// One number as text, `count` of its parts (2: complex) addressed by `part`.
class Formatter {
 public:
  Formatter(const Array& array, std::string& out, std::string_view where)
      : array_(array), out_(out), where_(where) {}

  void put(int64_t element, int part) {
    const size_t width = number_width(array_.dtype);
    const std::byte* at = array_.data + static_cast<size_t>(element) * size_of(array_.dtype) +
                          static_cast<size_t>(part) * width;
    switch (array_.dtype) {
      case DType::boolean:
      case DType::uint8:
        return integer<uint8_t>(at);
      case DType::int8:
        return integer<int8_t>(at);
      case DType::int16:
        return integer<int16_t>(at);
      case DType::int32:
        return integer<int32_t>(at);
      case DType::int64:
        return integer<int64_t>(at);
      case DType::uint16:
        return integer<uint16_t>(at);
      case DType::uint32:
        return integer<uint32_t>(at);
      case DType::uint64:
        return integer<uint64_t>(at);
      case DType::float16:
        return real(float16_to_float(load<uint16_t>(at)));
      case DType::bfloat16:
        return real(bfloat16_to_float(load<uint16_t>(at)));
      case DType::float32:
      case DType::complex64:
        return real(load<float>(at));
      case DType::float64:
      case DType::complex128:
        return real(load<double>(at));
    }
  }

 private:
  const Array& array_;
  std::string& out_;
  std::string_view where_;

  template <class T>
  static T load(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  template <class T>
  void append(T value) {
    char text[32];
    out_.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  }
  template <class T>
  void integer(const std::byte* at) {
    append(+load<T>(at));
  }
  template <class T>
  void real(T value) {
    if (std::isnan(value)) return;
    if (std::isinf(value)) {
      throw DataError(array_.name.empty() ? "data" : array_.name, "finite numbers or NaN in CSV",
                      value > 0 ? "inf" : "-inf", where_);
    }
    append(value);
  }
};

/// A column of the file: which array, which element of its first row, how far to the next row's.
struct Column {
  const Array* array;
  int64_t first;
  int64_t stride;
  int part;
};

void add_columns(const Array& array, std::vector<Column>& columns,
                 std::vector<std::string>& names) {
  const bool complex = number_width(array.dtype) != size_of(array.dtype);
  const int64_t width = array.shape.size() == 2 ? array.shape[1] : 1;
  for (int64_t column = 0; column < width; ++column) {
    std::string name = array.name.empty() ? "data" : array.name;
    if (array.shape.size() == 2) name += "_" + std::to_string(column);
    for (int part = 0; part < (complex ? 2 : 1); ++part) {
      columns.push_back({&array, column, width, part});
      names.push_back(complex ? name + (part == 0 ? "_re" : "_im") : name);
    }
  }
}

int64_t rows_of(const Array& array) {
  return array.shape.empty() ? 1 : array.shape[0];
}

/// One line after the other: a header or numbers, all as wide as the first.
struct Lines {
  explicit Lines(std::string_view file) : where(file) {}

  void take(std::string_view line, size_t number, std::vector<double>& values) {
    constexpr std::string_view kNote = "# ritz ";
    if (first && note.empty() && line.starts_with(kNote)) {
      note = trimmed(line.substr(kNote.size()));
      return;
    }
    split(line, cells);
    double value = 0;
    if (first) {
      first = false;
      width = cells.size();
      if (!std::ranges::all_of(cells,
                               [&](std::string_view cell) { return parse_number(cell, value); })) {
        for (const std::string_view cell : cells) columns.push_back(unquoted(cell));
        return;
      }
    }
    if (cells.size() != width) {
      throw DataError("CSV row", std::to_string(width) + " cells", std::to_string(cells.size()),
                      at_line(where, number));
    }
    for (const std::string_view cell : cells) {
      if (!parse_number(cell, value))
        throw DataError("CSV cell", "a number", cell.substr(0, 40), at_line(where, number));
      values.push_back(value);
    }
  }

  std::string_view where;
  std::vector<std::string_view> cells;
  std::vector<std::string> columns;  // the header's names, or none
  std::string note;                  // of the first line, where it is one
  size_t width = 0;
  bool first = true;
};

}  // namespace

CsvTable parse_csv(const Bytes& bytes, std::string_view where) {
  Lines lines(where);
  std::vector<double> values;
  for_each_line(bytes.text(),
                [&](std::string_view line, size_t number) { lines.take(line, number, values); });
  CsvTable table;
  table.columns = std::move(lines.columns);
  table.note = std::move(lines.note);
  const size_t width = lines.width;
  const bool first = lines.first;
  if (first) throw DataError("CSV file", "rows", "none", where);
  const auto columns = static_cast<int64_t>(width);
  table.values =
      make_array("", {static_cast<int64_t>(values.size()) / columns, columns}, DType::float64);
  if (!values.empty())
    std::memcpy(mutable_data(table.values), values.data(), values.size() * sizeof(double));
  return table;
}

struct CsvReader::State {
  State(Source bytes, std::string file)
      : source(std::move(bytes)), where(std::move(file)), lines(where) {}

  /// The next line that is not blank, without its end; false where there is none.
  bool next(std::string_view& line) {
    while (true) {
      const size_t end = text.find('\n', begin);
      if (end == std::string::npos && !ended) {
        text.erase(0, begin);
        begin = 0;
        const size_t had = text.size();
        text.resize(had + kRead);
        const size_t count = source(text.data() + had, kRead);
        text.resize(had + count);
        ended = count == 0;
        if (number == 0 && had == 0 && text.starts_with("\xef\xbb\xbf")) begin = 3;
        continue;
      }
      if (begin >= text.size()) return false;
      const size_t stop = std::min(end, text.size());
      line = std::string_view(text).substr(begin, stop - begin);
      begin = stop + 1;
      ++number;
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (!trimmed(line).empty()) return true;
    }
  }

  static constexpr size_t kRead = size_t{1} << 20;
  Source source;
  std::string where;
  Lines lines;
  std::string text;
  size_t begin = 0, number = 0;
  bool ended = false;
  std::vector<double> waiting;  // the first row, where there is no header
};

CsvReader::CsvReader(Source source, std::string where)
    : state_(std::make_unique<State>(std::move(source), std::move(where))) {
  std::string_view line;
  while (state_->lines.first) {
    if (!state_->next(line)) throw DataError("CSV file", "rows", "none", state_->where);
    state_->lines.take(line, state_->number, state_->waiting);
  }
}

CsvReader::~CsvReader() = default;

int64_t CsvReader::columns() const {
  return static_cast<int64_t>(state_->lines.width);
}

int64_t CsvReader::read(int64_t rows, std::vector<double>& values) {
  values.clear();
  values.swap(state_->waiting);
  const size_t wanted = static_cast<size_t>(rows) * state_->lines.width;
  std::string_view line;
  while (values.size() < wanted && state_->next(line))
    state_->lines.take(line, state_->number, values);
  return static_cast<int64_t>(values.size() / state_->lines.width);
}

Array csv_column(const CsvTable& table, std::string_view name, std::string_view where) {
  const auto found = std::ranges::find(table.columns, name);
  if (found == table.columns.end() || std::ranges::count(table.columns, name) > 1) {
    std::string list;
    for (const std::string& column : table.columns) list += (list.empty() ? "" : ", ") + column;
    throw DataError("CSV column", std::string(name) + ", once",
                    list.empty() ? "no header line" : list, where);
  }
  const int64_t rows = table.values.shape[0];
  const auto width = static_cast<int64_t>(table.columns.size());
  Array column = make_array(std::string(name), {rows}, DType::float64);
  const auto* from =
      reinterpret_cast<const double*>(table.values.data) + (found - table.columns.begin());
  auto* to = reinterpret_cast<double*>(mutable_data(column));
  for (int64_t i = 0; i < rows; ++i) to[i] = from[i * width];
  return column;
}

void write_csv(AtomicFile& file, const std::vector<Array>& arrays) {
  std::vector<Column> columns;
  std::vector<std::string> names;
  for (const Array& array : arrays) {
    if (array.shape.size() > 2) {
      throw Unsupported(
          format_error("CSV", "at most two dimensions", describe(array), file.path()));
    }
    if (rows_of(array) != rows_of(arrays.front())) {
      throw Unsupported(format_error("CSV", "columns of one length", describe(array), file.path()));
    }
    add_columns(array, columns, names);
  }
  if (columns.empty())
    throw Unsupported(format_error("CSV", "at least one column", "none", file.path()));
  std::string out;
  const bool named = arrays.size() > 1 || (arrays[0].shape.size() < 2 && !arrays[0].name.empty()) ||
                     number_width(arrays[0].dtype) != size_of(arrays[0].dtype);
  if (named) {
    for (size_t i = 0; i < names.size(); ++i) out += (i > 0 ? "," : "") + quoted(names[i]);
    out += '\n';
  }
  std::vector<Formatter> formatters;
  for (const Column& column : columns) formatters.emplace_back(*column.array, out, file.path());
  constexpr size_t kChunk = 1 << 16;
  for (int64_t row = 0; row < rows_of(arrays.front()); ++row) {
    const size_t line = out.size();
    for (size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) out += ',';
      formatters[i].put(columns[i].first + row * columns[i].stride, columns[i].part);
    }
    // A blank line would not count as a row.
    if (out.size() == line) out += "\"\"";
    out += '\n';
    if (out.size() > kChunk) {
      file.write(out);
      out.clear();
    }
  }
  file.write(out);
}

}  // namespace ritz::io
