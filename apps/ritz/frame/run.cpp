#include "apps/ritz/frame/run.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <streambuf>

#include "ritz/base/atomic_file.h"
#include "ritz/base/check.h"
#include "ritz/base/version.h"
#include "ritz/io/array.h"

namespace ritz::app {
namespace {

// A word as a POSIX shell reads it back.
std::string quoted(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("-_=+.,:/@%").find(c) != std::string_view::npos;
  });
  if (plain) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const auto& word : words) line += (line.empty() ? "" : " ") + quoted(word);
  return line;
}

bool is_scalar(const Json& value) {
  return !value.is_structured();
}

// Indented JSON in which an array of scalars stays on one line: thousands of nodes are not
// thousands of lines. nlohmann writes doubles in their shortest form that reads back, NaN and Inf
// as null.
void print(const Json& value, const std::string& indent, std::string& out) {
  const auto text = [](const Json& scalar) {
    return scalar.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  if (is_scalar(value) || value.empty()) {
    out += text(value);
  } else if (value.is_array() && std::all_of(value.begin(), value.end(), is_scalar)) {
    out += '[';
    for (size_t i = 0; i < value.size(); ++i) out += (i == 0 ? "" : ", ") + text(value[i]);
    out += ']';
  } else {
    const std::string inner = indent + "  ";
    out += value.is_array() ? '[' : '{';
    bool first = true;
    for (const auto& item : value.items()) {
      out += (first ? "\n" : ",\n") + inner;
      if (value.is_object()) out += text(Json(item.key())) + ": ";
      print(item.value(), inner, out);
      first = false;
    }
    out += "\n" + indent + (value.is_array() ? ']' : '}');
  }
}

class NoBuffer : public std::streambuf {
  int overflow(int c) override { return c == EOF ? 0 : c; }
  std::streamsize xsputn(const char*, std::streamsize n) override { return n; }
};

class Nowhere : private NoBuffer, public std::ostream {
 public:
  Nowhere() : std::ostream(static_cast<NoBuffer*>(this)) {}
};

// Columns of a UTF-8 text: bytes that do not continue a character.
size_t columns(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

bool looks_like_number(const std::string& cell) {
  return cell.empty() || cell.find_first_not_of("0123456789.eE+- ") == std::string::npos ||
         cell == "nan" || cell == "inf" || cell == "-inf" || cell == "-";
}

}  // namespace

std::string json_text(const Json& value) {
  std::string out;
  print(value, "", out);
  return out + "\n";
}

Run::Run(std::string command_name, const CommonOptions& options,
         const std::vector<std::string>& arguments)
    : common(options),
      command(std::move(command_name)),
      line(joined(arguments)),
      body_(std::make_unique<Json>(Json::object())),
      inputs_(std::make_unique<Json>(Json::array())),
      warnings_(std::make_unique<Json>(Json::array())),
      nowhere_(std::make_unique<Nowhere>()) {}

Run::~Run() = default;

std::ostream& Run::text() {
  return common.json == "-" || silent_ ? *nowhere_ : std::cout;
}

void Run::value(std::string_view name, double number, std::string_view comment) {
  json()[std::string(name)] = number;
  text() << name << std::string(name.size() < 20 ? 20 - name.size() : 1, ' ') << short_text(number)
         << (comment.empty() ? "" : "  ") << comment << '\n';
}

void Run::value(std::string_view name, int64_t number, std::string_view comment) {
  json()[std::string(name)] = number;
  text() << name << std::string(name.size() < 20 ? 20 - name.size() : 1, ' ') << number
         << (comment.empty() ? "" : "  ") << comment << '\n';
}

void Run::value(std::string_view name, std::string_view words, std::string_view comment) {
  json()[std::string(name)] = words;
  text() << name << std::string(name.size() < 20 ? 20 - name.size() : 1, ' ') << words
         << (comment.empty() ? "" : "  ") << comment << '\n';
}

void Run::table(const std::vector<std::string>& head,
                const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> width(head.size());
  std::vector<bool> right(head.size(), true);
  for (size_t j = 0; j < head.size(); ++j) {
    width[j] = columns(head[j]);
    for (const auto& row : rows) {
      width[j] = std::max(width[j], columns(row.at(j)));
      right[j] = right[j] && looks_like_number(row[j]);
    }
  }
  const auto print_row = [&](const std::vector<std::string>& row) {
    std::string out;
    for (size_t j = 0; j < head.size(); ++j) {
      const std::string space(width[j] - columns(row[j]), ' ');
      out += (j == 0 ? "" : "  ") + (right[j] ? space + row[j] : row[j] + space);
    }
    text() << out.substr(0, out.find_last_not_of(' ') + 1) << '\n';
  };
  print_row(head);
  for (const auto& row : rows) print_row(row);
}

void Run::input(std::string_view file, const std::vector<int64_t>& shape, std::string_view dtype) {
  inputs_->push_back({{"file", file}, {"shape", shape}, {"dtype", dtype}});
}

void Run::input(std::string_view file, const io::Array& array) {
  input(file, array.shape, io::name_of(array.dtype));
}

void Run::warn(std::string_view code, std::string_view message) {
  warnings_->push_back({{"code", code}, {"message", message}});
  std::cerr << "ritz " << command << ": warning: " << message << " (" << code << ")\n";
}

void Run::not_converged(std::string_view message) {
  warnings_->push_back({{"code", "not_converged"}, {"message", message}});
  not_converged_ = true;
  failure_ = message;
}

bool Run::shows_progress() const {
  return !common.quiet && !silent_ && isatty(STDERR_FILENO) == 1;
}

void Run::check_target(const std::string& path, std::string_view option) const {
  (void)option;
  ritz::check_target(path, common.force);
}

Json Run::head() const {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  Json head;
  head["command"] = command;
  head["version"] = version();
  head["seed"] = common.seed;
  head["threads"] = threads;
  head["seconds"] = std::round(elapsed.count() * 1e6) / 1e6;
  head["inputs"] = *inputs_;
  head["warnings"] = *warnings_;
  return head;
}

std::string Run::document() const {
  Json all = head();
  all.update(*body_);
  return json_text(all);
}

void Run::write_json() {
  if (common.json.empty() || silent_) return;
  const std::string out = document();
  if (common.json == "-") {
    std::cout << out;
    return;
  }
  AtomicFile file(common.json, common.force);
  file.write(out);
  file.commit();
}

std::string short_text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", value);
  return buffer;
}

}  // namespace ritz::app
