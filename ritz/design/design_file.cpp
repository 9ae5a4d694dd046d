#include "ritz/design/design_file.h"

#include <torch/types.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>

#include "ritz/base/atomic_file.h"
#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"
#include "ritz/io/array_file.h"
#include "ritz/io/csv.h"
#include "ritz/io/tensor.h"

namespace ritz::design {
namespace {

constexpr std::string_view kWord = "design ";  // after "# ritz "

// A word must not hold blanks; a file's name may.
std::string escaped(const std::string& name) {
  std::string out;
  for (const char c : name) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    const auto code = static_cast<unsigned char>(c);
    if (code > ' ' && c != '%') {
      out += c;
    } else {
      out += {'%', kHex[code / 16], kHex[code % 16]};
    }
  }
  return out;
}
std::string unescaped(const std::string& word) {
  std::string out;
  for (size_t i = 0; i < word.size(); ++i) {
    int code = 0;
    const char* at = word.data() + i + 1;
    if (word[i] == '%' && i + 2 < word.size() &&
        std::from_chars(at, at + 2, code, 16).ptr == at + 2) {
      out += static_cast<char>(code);
      i += 2;
    } else {
      out += word[i];
    }
  }
  return out;
}

// key=value words, divided by blanks.
std::map<std::string, std::string> words_of(const std::string& text) {
  std::map<std::string, std::string> words;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) throw DataError("design", "key=value words", word);
    words[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return words;
}

template <class T>
T number(std::string_view text) {
  T value{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size())
    throw DataError("design", "a number", text);
  return value;
}

template <class T>
std::vector<T> numbers(const std::string& text, char separator) {
  std::vector<T> values;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) values.push_back(number<T>(part));
  return values;
}

std::string note_of(const DesignFile& design) {
  std::string note(kWord);
  if (design.space) return note + space_text(*design.space);
  if (design.candidates.empty()) return note;
  note += "candidates=" + escaped(design.candidates);
  if (!design.measure.empty()) note += " measure=" + escaped(design.measure);
  return design.orthonormalise ? note + " orthonormalise=yes" : note;
}

void parse_note(const std::string& note, DesignFile& design) {
  if (!note.starts_with(kWord.substr(0, kWord.size() - 1))) return;
  const std::string text = note.substr(std::min(note.size(), kWord.size()));
  const auto words = words_of(text);
  if (words.contains("candidates")) design.candidates = unescaped(words.at("candidates"));
  if (words.contains("measure")) design.measure = unescaped(words.at("measure"));
  design.orthonormalise = words.contains("orthonormalise");
  if (words.contains("space")) design.space = parse_space_text(text);
}

bool is_csv(const std::string& path) {
  return path == "-" || path.ends_with(".csv");
}

io::CsvTable read_table(const std::string& path) {
  auto table = io::parse_csv(io::open_bytes(path), path);
  // numpy.savetxt writes its header behind a "# ".
  if (!table.columns.empty() && table.columns[0].starts_with("#")) {
    const auto word = table.columns[0].find_first_not_of("# ");
    table.columns[0] = word == std::string::npos ? "" : table.columns[0].substr(word);
  }
  return table;
}

Tensor column(const io::CsvTable& table, std::string_view name, const std::string& path) {
  return io::to_tensor(io::csv_column(table, name, path));
}

bool has_column(const io::CsvTable& table, std::string_view name) {
  return std::ranges::find(table.columns, name) != table.columns.end();
}

// points_0 ... points_{d-1}, or indices as [n, 1].
Tensor points_in(const io::CsvTable& table, const std::string& path) {
  if (has_column(table, "indices"))
    return column(table, "indices", path).to(torch::kInt64).unsqueeze(1);
  std::vector<Tensor> columns;
  for (int64_t j = 0; has_column(table, "points_" + std::to_string(j)); ++j)
    columns.push_back(column(table, "points_" + std::to_string(j), path));
  return columns.empty() ? Tensor() : torch::stack(columns, 1);
}

void check_design(const DesignFile& design, const std::string& path) {
  if (!design.points.defined() || design.points.dim() != 2)
    throw DataError("design", "columns points_0, ... or indices", "none", path);
  if (design.weights.dim() != 1 || design.weights.size(0) != design.points.size(0)) {
    throw DataError("weights", std::to_string(design.points.size(0)) + ", one a point",
                    describe(design.weights), path);
  }
  if (!design.points.isfinite().all().item<bool>() || !design.weights.isfinite().all().item<bool>())
    throw DataError("design", "finite points and weights", "NaN or Inf", path);
}

// A value belongs to its point: the rows must be the design's, in its order. Other programs print
// fewer digits, so six are asked for.
void check_same_points(const Tensor& found, const DesignFile& design, const std::string& path) {
  const Tensor wanted = design.points.to(torch::kFloat64);
  if (found.size(1) != wanted.size(1)) {
    throw DataError("points", std::to_string(wanted.size(1)) + " coordinates, as in the design",
                    std::to_string(found.size(1)), path);
  }
  const Tensor off = (found.to(torch::kFloat64) - wanted).abs() > 1e-6 * (1 + wanted.abs());
  const Tensor rows = off.any(1).nonzero();
  if (rows.numel() > 0) {
    throw DataError("points", "those of the design, in its order", "another point",
                    path + ", row " + std::to_string(rows[0].item<int64_t>()));
  }
}

Tensor checked_count(const Tensor& values, const DesignFile& design, const std::string& path) {
  if (values.size(0) != design.points.size(0)) {
    throw DataError("values", std::to_string(design.points.size(0)) + ", one a point of the design",
                    std::to_string(values.size(0)), path);
  }
  return values.to(torch::kFloat64);
}

}  // namespace

std::string space_text(const SpaceOptions& options) {
  std::string text = "space=" + options.family + " dim=" + std::to_string(options.dim);
  if (options.list.defined()) {
    text += " list=";
    const Tensor list = options.list.contiguous();
    for (int64_t i = 0; i < list.numel(); ++i)
      text += (i > 0 ? "," : "") + std::to_string(list.data_ptr<int64_t>()[i]);
    return text;
  }
  text += " degree=" + std::to_string(options.degree) + " index=" + options.index;
  for (size_t j = 0; j < options.anisotropy.size(); ++j)
    text += (j == 0 ? " anisotropy=" : ",") + number_text(options.anisotropy[j]);
  return text;
}

SpaceOptions parse_space_text(const std::string& text) {
  SpaceOptions options;
  for (const auto& [key, value] : words_of(text)) {
    if (key == "space") options.family = value;
    if (key == "dim") options.dim = number<int64_t>(value);
    if (key == "degree") options.degree = number<int64_t>(value);
    if (key == "index") options.index = value;
    if (key == "anisotropy") options.anisotropy = numbers<double>(value, ',');
  }
  const auto words = words_of(text);
  if (words.contains("list")) {
    const auto list = numbers<int64_t>(words.at("list"), ',');
    if (options.dim < 1 || list.size() % static_cast<size_t>(options.dim) != 0)
      throw DataError("design", "a list of dim numbers a function", std::to_string(list.size()));
    options.list = torch::tensor(list, torch::kInt64).reshape({-1, options.dim});
  }
  return options;
}

void write_design(const std::string& path, const DesignFile& design, bool force) {
  const bool candidates = design.points.scalar_type() == at::kLong;
  std::vector<io::Array> arrays{
      candidates ? io::to_array("indices", design.points.select(-1, 0).contiguous())
                 : io::to_array("points", design.points),
      io::to_array("weights", design.weights)};
  const std::string note = note_of(design);
  if (is_csv(path)) {
    AtomicFile file(path, force);
    file.write("# ritz " + note + "\n");
    io::write_csv(file, arrays);
    file.commit();
    return;
  }
  arrays.push_back(io::make_array("design", {static_cast<int64_t>(note.size())}, io::DType::uint8));
  std::copy_n(reinterpret_cast<const std::byte*>(note.data()), note.size(),
              io::mutable_data(arrays.back()));
  io::write_arrays(path, arrays, {.force = force});
}

DesignFile read_design(const std::string& path) {
  DesignFile design;
  if (is_csv(path)) {
    const auto table = read_table(path);
    parse_note(table.note, design);
    design.points = points_in(table, path);
    design.weights = column(table, "weights", path);
  } else {
    for (const auto& array : io::read_arrays(path)) {
      if (array.name == "points") design.points = io::to_tensor(array).to(torch::kFloat64);
      if (array.name == "indices") design.points = io::to_tensor(array).to(torch::kInt64);
      if (array.name == "weights") design.weights = io::to_tensor(array).to(torch::kFloat64);
      if (array.name == "design" && array.dtype == io::DType::uint8) {
        parse_note({reinterpret_cast<const char*>(array.data), static_cast<size_t>(array.count())},
                   design);
      }
    }
    if (design.points.defined() && design.points.dim() == 1)
      design.points = design.points.unsqueeze(1);
    if (!design.weights.defined()) throw DataError("design", "an array weights", "none", path);
    design.weights = design.weights.flatten();
  }
  check_design(design, path);
  return design;
}

Tensor read_values(const std::string& path, const DesignFile& design) {
  if (is_csv(path)) {
    const auto table = read_table(path);
    if (has_column(table, "value")) {
      const Tensor values = checked_count(column(table, "value", path), design, path);
      const Tensor points = points_in(table, path);
      if (points.defined()) check_same_points(points, design, path);
      return values;
    }
    const Tensor values = io::to_tensor(table.values);
    if (values.size(1) != 1) {
      throw DataError("values", "one column, or one called value",
                      std::to_string(values.size(1)) + " columns", path);
    }
    return checked_count(values.select(1, 0), design, path);
  }
  Tensor values = io::to_tensor(io::read_array(path));
  if (values.dim() == 2 && values.size(1) == 1) values = values.select(1, 0);
  if (values.dim() != 1 || values.is_complex())
    throw DataError("values", "one number a point", describe(values), path);
  return checked_count(values, design, path);
}

}  // namespace ritz::design
