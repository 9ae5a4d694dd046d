#include "ritz/optim/schedule.h"

#include <charconv>
#include <cmath>
#include <numbers>
#include <optional>
#include <string_view>

#include "ritz/base/check.h"

namespace ritz::optim {

namespace {

constexpr int64_t kFirst = 10;  // losses that say where a regime began

template <class T>
std::optional<T> parse(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void refuse(const std::string& text) {
  throw InvalidArgument("schedule",
                        "constant, step:FACTOR@STEP,..., cosine[:WARMUP] or knee[:FACTOR] with "
                        "factors > 0, rising steps and fewer steps of warm-up than in all",
                        text);
}

double factor_of(std::string_view text, const std::string& whole) {
  const auto value = parse<double>(text);
  if (!value || !(*value > 0) || !std::isfinite(*value)) refuse(whole);
  return *value;
}

}  // namespace

KneeDetector::KneeDetector(KneeOptions options) : options_(options) {
  check_at_least("window", options.window, 3);
  check_at_least("min_steps", options.min_steps, options.window + kFirst);
  check_at_least("check", options.check, 1);
  check_at_least("patience", options.patience, 1);
  check_positive("beta", options.beta);
}

bool KneeDetector::observe(double loss) {
  ++t_;
  if (t_ <= kFirst) first_sum_ += loss;
  last_.push_back(loss);
  const auto w = static_cast<double>(options_.window);
  if (static_cast<int64_t>(last_.size()) > options_.window) last_.pop_front();
  if (t_ < options_.min_steps || t_ % options_.check != 0) return false;

  // Least squares over x = 0 .. w-1: slope = S_xy / S_xx, se^2 = (S_yy - slope S_xy) / (w-2) /
  // S_xx.
  double mean = 0;
  for (const double y : last_) mean += y / w;
  const double middle = (w - 1) / 2;
  double s_xx = 0, s_xy = 0, s_yy = 0, x = -middle;
  for (const double y : last_) {
    s_xx += x * x;
    s_xy += x * (y - mean);
    s_yy += (y - mean) * (y - mean);
    x += 1;
  }
  const double slope = s_xy / s_xx;
  const double se = std::sqrt(std::max(0., s_yy - slope * s_xy) / (w - 2) / s_xx);
  const double overall = (first_sum_ / kFirst - mean) / static_cast<double>(t_);
  strikes_ = -slope + 2 * se < options_.beta * overall ? strikes_ + 1 : 0;
  if (strikes_ < options_.patience) return false;
  *this = KneeDetector(options_);
  return true;
}

std::vector<double> KneeDetector::state() const {
  std::vector<double> state{static_cast<double>(t_), static_cast<double>(strikes_), first_sum_};
  state.insert(state.end(), last_.begin(), last_.end());
  return state;
}

void KneeDetector::set_state(const std::vector<double>& state) {
  if (state.size() < 3 || state.size() > 3 + static_cast<size_t>(options_.window)) {
    throw DataError("knee detector's state",
                    "3 numbers and up to " + std::to_string(options_.window) + " losses",
                    std::to_string(state.size()) + " numbers");
  }
  t_ = static_cast<int64_t>(state[0]);
  strikes_ = static_cast<int64_t>(state[1]);
  first_sum_ = state[2];
  last_.assign(state.begin() + 3, state.end());
}

Schedule::Schedule(const std::string& text, int64_t total_steps) : total_steps_(total_steps) {
  check_at_least("total_steps", total_steps, 1);
  const std::string_view all(text);
  if (all == "constant") {
    kind_ = Kind::constant;
  } else if (all == "cosine") {
    kind_ = Kind::cosine;
  } else if (all.starts_with("cosine:")) {
    kind_ = Kind::cosine;
    const auto warmup = parse<int64_t>(all.substr(7));
    if (!warmup || *warmup < 0 || *warmup >= total_steps) refuse(text);
    warmup_ = *warmup;
  } else if (all == "knee") {
    kind_ = Kind::knee;
  } else if (all.starts_with("knee:")) {
    kind_ = Kind::knee;
    knee_factor_ = factor_of(all.substr(5), text);
  } else if (all.starts_with("step:")) {
    kind_ = Kind::step;
    for (std::string_view rest = all.substr(5);;) {
      const std::string_view item = rest.substr(0, rest.find(','));
      const size_t at = item.find('@');
      if (at == std::string_view::npos) refuse(text);
      const auto step = parse<int64_t>(item.substr(at + 1));
      if (!step || *step < 1 || (!steps_.empty() && *step <= steps_.back().second)) refuse(text);
      steps_.emplace_back(factor_of(item.substr(0, at), text), *step);
      if (item.size() == rest.size()) break;
      rest.remove_prefix(item.size() + 1);
    }
  } else {
    refuse(text);
  }
}

double Schedule::factor(int64_t step) const {
  switch (kind_) {
    case Kind::constant:
      return 1;
    case Kind::cosine: {
      if (step <= warmup_) return static_cast<double>(step) / static_cast<double>(warmup_);
      const double done = static_cast<double>(std::min(step, total_steps_ + 1) - 1 - warmup_);
      const auto all = static_cast<double>(total_steps_ - warmup_);
      return (1 + std::cos(std::numbers::pi * done / all)) / 2;
    }
    case Kind::knee:
      return reached_;
    case Kind::step:
      break;
  }
  double factor = 1;
  for (const auto& [each, first] : steps_) {
    if (step >= first) factor *= each;
  }
  return factor;
}

void Schedule::observe(double loss) {
  if (kind_ == Kind::knee && knee_.observe(loss)) reached_ *= knee_factor_;
}

std::vector<double> Schedule::state() const {
  if (kind_ != Kind::knee) return {};
  std::vector<double> state = knee_.state();
  state.push_back(reached_);
  return state;
}

void Schedule::set_state(const std::vector<double>& state) {
  if (kind_ != Kind::knee) return;
  if (state.empty()) throw DataError("schedule's state", "a knee's", "nothing");
  reached_ = state.back();
  knee_.set_state({state.begin(), state.end() - 1});
}

}  // namespace ritz::optim
