#include "apps/ritz/frame/options.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>

#include "ritz/base/check.h"

namespace ritz::app {
namespace {

[[noreturn]] void reject(const Option& option, const std::string& expected, std::string_view text,
                         std::string_view where) {
  throw UsageError(option.name, expected, "'" + std::string(text) + "'", where);
}

template <typename T>
constexpr bool kIsVector = false;
template <typename T>
constexpr bool kIsVector<std::vector<T>> = true;
template <typename T>
constexpr bool kIsOptional = false;
template <typename T>
constexpr bool kIsOptional<std::optional<T>> = true;

template <typename T>
std::string text_of(const T& value) {
  if constexpr (kIsOptional<T>) {
    return value ? text_of(*value) : std::string();
  } else if constexpr (kIsVector<T>) {
    std::string out;
    for (const auto& item : value) out += (out.empty() ? "" : ",") + text_of(item);
    return out;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return value;
  } else if constexpr (std::is_same_v<T, double>) {
    return number_text(value);
  } else {
    return std::to_string(value);
  }
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

bool read_flag(const Option& option, const std::string& text, std::string_view where) {
  if (text == "true") return true;
  if (text == "false") return false;
  reject(option, "true or false", text, where);
}

}  // namespace

Option& Option::required() {
  is_required = true;
  default_text.clear();
  return *this;
}
Option& Option::at_least(double least) {
  low_ = least;
  low_open_ = false;
  return *this;
}
Option& Option::above(double bound) {
  low_ = bound;
  low_open_ = true;
  return *this;
}
Option& Option::at_most(double most) {
  high_ = most;
  high_open_ = false;
  return *this;
}
Option& Option::below(double bound) {
  high_ = bound;
  high_open_ = true;
  return *this;
}
Option& Option::one_of(std::vector<std::string> allowed) {
  choices = std::move(allowed);
  return *this;
}
Option& Option::bare(std::string value) {
  bare_value = std::move(value);
  return *this;
}
Option& Option::folder() {
  wants_folder = true;
  return *this;
}

std::string Option::range_text() const {
  std::string out;
  if (low_) out += std::string(low_open_ ? " > " : " >= ") + number_text(*low_);
  if (low_ && high_) out += " and";
  if (high_) out += std::string(high_open_ ? " < " : " <= ") + number_text(*high_);
  return out;
}

void Option::check_number(double value, std::string_view text, std::string_view where) const {
  const bool low_ok = !low_ || (low_open_ ? value > *low_ : value >= *low_);
  const bool high_ok = !high_ || (high_open_ ? value < *high_ : value <= *high_);
  if (!low_ok || !high_ok) reject(*this, "a number" + range_text(), text, where);
}

void Option::set(const std::vector<std::string>& words, std::string_view where) {
  given = true;
  if (is_list && !takes_many_words && words.size() != 1) {  // an array in --config
    std::string joined;
    for (const auto& word : words) joined += (joined.empty() ? "" : ",") + word;
    read_(*this, {joined}, where);
    return;
  }
  if (!takes_many_words && words.size() != 1) {
    throw UsageError(name, "one value", std::to_string(words.size()) + " values", where);
  }
  read_(*this, words, where);
}

Option& Options::add(std::string name, std::string value_name, std::string help) {
  Option& option = options_.emplace_back();
  option.name = std::move(name);
  option.value_name = std::move(value_name);
  option.help = std::move(help);
  return option;
}

Option* Options::find(std::string_view name) {
  for (auto& option : options_) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

template <typename T>
Option& Options::option(std::string name, T& field, std::string value_name, std::string help) {
  Option& option = add(std::move(name), std::move(value_name), std::move(help));
  option.default_text = text_of(field);
  option.is_list = kIsVector<T>;
  // One scalar out of one text: whole, finite, in range.
  const auto read_scalar = [](const Option& o, const std::string& text, std::string_view where,
                              auto& out) {
    using S = std::remove_reference_t<decltype(out)>;
    if constexpr (std::is_same_v<S, std::string>) {
      if (text.empty()) reject(o, "a text of one character or more", text, where);
      bool allowed = o.choices.empty();
      for (const auto& choice : o.choices) allowed = allowed || choice == text;
      if (!allowed) {
        std::string list;
        for (const auto& choice : o.choices) list += (list.empty() ? "" : "|") + choice;
        reject(o, list, text, where);
      }
      const std::string expected = o.verify ? o.verify(text) : std::string();
      if (!expected.empty()) reject(o, expected, text, where);
      out = text;
    } else {
      constexpr bool kReal = std::is_floating_point_v<S>;
      S value{};
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      bool ok = error == std::errc() && end == text.data() + text.size();
      if constexpr (kReal) ok = ok && std::isfinite(value);
      if (!ok) {
        const std::string range =
            !o.low_ && std::is_unsigned_v<S> ? std::string(" in [0, 2^64)") : o.range_text();
        reject(o, (kReal ? "a finite number" : "an integer") + range, text, where);
      }
      o.check_number(static_cast<double>(value), text, where);
      out = value;
    }
  };
  option.read_ = [&field, read_scalar](const Option& o, const std::vector<std::string>& words,
                                       std::string_view where) {
    if constexpr (kIsVector<T>) {
      T values;
      for (const auto& text : split_at_commas(words.front())) {
        typename T::value_type value{};
        read_scalar(o, text, where, value);
        values.push_back(std::move(value));
      }
      field = std::move(values);
    } else if constexpr (kIsOptional<T>) {
      typename T::value_type value{};
      read_scalar(o, words.front(), where, value);
      field = std::move(value);
    } else {
      read_scalar(o, words.front(), where, field);
    }
  };
  return option;
}
#define RITZ_DEFINE_OPTION(T) \
  template Option& Options::option<T>(std::string, T&, std::string, std::string);
RITZ_OPTION_TYPES(RITZ_DEFINE_OPTION)
#undef RITZ_DEFINE_OPTION

Option& Options::repeated(std::string name, std::vector<std::string>& field, std::string value_name,
                          std::string help) {
  Option& option = add(std::move(name), std::move(value_name), std::move(help));
  option.is_list = option.takes_many_words = true;
  option.read_ = [&field](const Option& o, const std::vector<std::string>& words,
                          std::string_view where) {
    for (const auto& word : words) {
      if (word.empty()) reject(o, "a text of one character or more", word, where);
    }
    field = words;
  };
  return option;
}

Option& Options::flag(std::string name, bool& field, std::string help) {
  Option& option = add(std::move(name), "", std::move(help));
  option.is_flag = true;
  option.read_ = [&field](const Option& o, const std::vector<std::string>& words,
                          std::string_view where) { field = read_flag(o, words.front(), where); };
  return option;
}

Option& Options::positional(std::string name, std::string& field, std::string help) {
  Option& positional = option(std::move(name), field, "", std::move(help));
  positional.is_positional = true;
  return positional;
}

Option& Options::positional(std::string name, std::vector<std::string>& field, std::string help) {
  Option& positional = repeated(std::move(name), field, "", std::move(help));
  positional.is_positional = true;
  return positional;
}

Option& Options::output_file(const std::string& what) {
  return option("--out", *out, "FILE", "where to write " + what);
}

Option& Options::output_folder(const std::string& what) {
  out_is_folder = true;
  return option("--out", *out, "FOLDER", "where to write " + what).folder();
}

}  // namespace ritz::app
