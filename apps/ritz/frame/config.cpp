#include "apps/ritz/frame/config.h"

#include <algorithm>
#include <set>

#include "ritz/base/error.h"
#include "ritz/base/mapped_file.h"

namespace ritz::app {
namespace {

// A recursive-descent reader over the whole text; `at_` never passes the end.
class Reader {
 public:
  Reader(std::string file, std::string text) : file_(std::move(file)), text_(std::move(text)) {}

  std::vector<ConfigEntry> read() {
    std::vector<std::string> table;
    std::vector<ConfigEntry> entries;
    std::set<std::vector<std::string>> seen;
    for (skip(true); at_ < text_.size(); skip(true)) {
      if (text_[at_] == '[') {
        ++at_;
        table = key_path();
        expect(']', "']' after the table's name");
      } else {
        ConfigEntry entry;
        entry.where = where();
        entry.path = table;
        const auto key = key_path();
        entry.path.insert(entry.path.end(), key.begin(), key.end());
        expect('=', "'=' after the key");
        skip(false);
        entry.words = value();
        if (!seen.insert(entry.path).second)
          fail("each key once", "'" + entry.path.back() + "' again");
        entries.push_back(std::move(entry));
      }
      skip(false);
      if (at_ < text_.size() && text_[at_] != '\n') fail("one key or table a line", found());
    }
    return entries;
  }

 private:
  std::string where() const {
    size_t line = 1;
    for (size_t i = 0; i < at_; ++i) line += text_[i] == '\n';
    return file_ + ", line " + std::to_string(line);
  }
  std::string found() const {
    if (at_ >= text_.size()) return "the end of the file";
    return "'" + text_.substr(at_, std::min(text_.find_first_of("\r\n", at_) - at_, size_t{24})) +
           "'";
  }
  [[noreturn]] void fail(const std::string& expected, const std::string& what) const {
    throw UsageError("--config", expected, what, where());
  }
  void skip(bool lines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n')) {
        ++at_;
      } else {
        return;
      }
    }
  }
  void expect(char c, const std::string& words) {
    skip(false);
    if (at_ >= text_.size() || text_[at_] != c) fail(words, found());
    ++at_;
  }
  static bool is_bare(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  }
  std::vector<std::string> key_path() {
    std::vector<std::string> path;
    while (true) {
      skip(false);
      if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
        path.push_back(quoted());
      } else {
        const size_t begin = at_;
        while (at_ < text_.size() && is_bare(text_[at_])) ++at_;
        if (begin == at_) fail("a key", found());
        path.push_back(text_.substr(begin, at_ - begin));
      }
      skip(false);
      if (at_ >= text_.size() || text_[at_] != '.') return path;
      ++at_;
    }
  }
  std::string quoted() {
    const char quote = text_[at_++];
    std::string out;
    while (true) {
      if (at_ >= text_.size() || text_[at_] == '\n') fail("a closing quote", found());
      const char c = text_[at_++];
      if (c == quote) return out;
      if (c != '\\' || quote == '\'') {
        out += c;
        continue;
      }
      const std::string from = "\"\\nt", to = "\"\\\n\t";
      const size_t escape = at_ < text_.size() ? from.find(text_[at_]) : std::string::npos;
      if (escape == std::string::npos) fail("one of the escapes \\\" \\\\ \\n \\t", found());
      out += to[escape];
      ++at_;
    }
  }
  std::string scalar() {
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) return quoted();
    std::string out;
    for (; at_ < text_.size() && (is_bare(text_[at_]) || text_[at_] == '.' || text_[at_] == '+');
         ++at_) {
      if (text_[at_] != '_') out += text_[at_];  // 1_000 is 1000
    }
    const bool is_number =
        !out.empty() && out.find_first_not_of("0123456789.eE+-") == std::string::npos;
    if (!is_number && out != "true" && out != "false") {
      fail("a quoted text, a number, true, false or an array",
           out.empty() ? found() : "'" + out + "'");
    }
    return out.front() == '+' ? out.substr(1) : out;
  }
  std::vector<std::string> value() {
    if (at_ >= text_.size() || text_[at_] != '[') return {scalar()};
    ++at_;
    std::vector<std::string> words;
    for (skip(true); at_ < text_.size() && text_[at_] != ']'; skip(true)) {
      words.push_back(scalar());
      skip(true);
      if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
      } else {
        break;
      }
    }
    expect(']', "',' or ']' in the array");
    return words;
  }

  std::string file_, text_;
  size_t at_ = 0;
};

}  // namespace

std::vector<ConfigEntry> read_config(const std::string& path) {
  const auto file = MappedFile::open(path);
  std::string text(reinterpret_cast<const char*>(file->data()), file->size());
  return Reader(path, std::move(text)).read();
}

}  // namespace ritz::app
