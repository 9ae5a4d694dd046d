#include "ritz/design/family.h"

#include <torch/types.h>

#include <charconv>
#include <cmath>
#include <numbers>

#include "ritz/base/check.h"
#include "ritz/krylov/tridiagonal.h"

namespace ritz::design {
namespace {

using std::numbers::pi;
using std::numbers::sqrt2;

constexpr std::string_view kExpected =
    "legendre, hermite, trigonometric, jacobi:a,b or laguerre[:a]";

bool parse_double(std::string_view text, double& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// Exponents below -1/2 make u = phi sqrt(density) unbounded, and so every envelope of it.
void check_exponent(std::string_view text, double value) {
  if (!(value >= -0.5 && value <= 100))
    throw InvalidArgument("--space", "exponents in [-0.5, 100]", text);
}

double log_normaliser(const Family& f) {
  if (f.kind == FamilyKind::laguerre) return std::lgamma(f.a + 1);
  return (f.a + f.b + 1) * std::numbers::ln2 + std::lgamma(f.a + 1) + std::lgamma(f.b + 1) -
         std::lgamma(f.a + f.b + 2);
}

// x at t and dmu/dt up to a factor, in the variable in which mu's density has no peak:
// x = cos t (jacobi), x = t^2 (laguerre).
double smooth_density(const Family& f, double t) {
  if (f.kind == FamilyKind::laguerre) return std::pow(t, 2 * f.a + 1) * std::exp(-t * t);
  return std::pow(std::sin(t / 2), 2 * f.a + 1) * std::pow(std::cos(t / 2), 2 * f.b + 1);
}

double integral(const Family& f, double from, double to) {
  static const Rule rule = gauss_rule({}, 12);
  double sum = 0;
  for (size_t i = 0; i < rule.nodes.size(); ++i)
    sum += rule.weights[i] * smooth_density(f, from + (to - from) * (1 + rule.nodes[i]) / 2);
  return sum * (to - from);
}

// Mass at t in (0, end): the cells' integrals add up to the mass wanted, then bisection within one.
double smooth_quantile(const Family& f, double u) {
  const double end = f.kind == FamilyKind::laguerre ? std::sqrt(f.a + 1) + 7 : pi;
  constexpr int kCells = 256;
  std::vector<double> mass(kCells + 1, 0);
  for (int i = 0; i < kCells; ++i)
    mass[i + 1] = mass[i] + integral(f, end * i / kCells, end * (i + 1) / kCells);
  const double wanted = u * mass.back();
  const auto cell = std::upper_bound(mass.begin(), mass.end(), wanted) - mass.begin() - 1;
  const double from = end * static_cast<double>(std::min<int64_t>(cell, kCells - 1)) / kCells;
  double low = from, high = from + end / kCells;
  for (int i = 0; i < 60; ++i) {
    const double t = (low + high) / 2;
    (mass[cell] + integral(f, from, t) < wanted ? low : high) = t;
  }
  return (low + high) / 2;
}

}  // namespace

Family parse_family(std::string_view text) {
  const auto colon = text.find(':');
  const auto name = text.substr(0, colon);
  std::vector<double> numbers;
  if (colon != std::string_view::npos) {
    for (const auto part : split(text.substr(colon + 1), ',')) {
      numbers.emplace_back();
      if (!parse_double(part, numbers.back())) throw InvalidArgument("--space", kExpected, text);
      check_exponent(text, numbers.back());
    }
  }
  const auto with = [&](FamilyKind kind, size_t least, size_t most) -> Family {
    if (numbers.size() < least || numbers.size() > most)
      throw InvalidArgument("--space", kExpected, text);
    numbers.resize(2, 0);
    return {kind, numbers[0], numbers[1]};
  };
  if (name == "legendre") return with(FamilyKind::legendre, 0, 0);
  if (name == "hermite") return with(FamilyKind::hermite, 0, 0);
  if (name == "trigonometric") return with(FamilyKind::trigonometric, 0, 0);
  if (name == "jacobi") return with(FamilyKind::jacobi, 2, 2);
  if (name == "laguerre") return with(FamilyKind::laguerre, 0, 1);
  throw InvalidArgument("--space", kExpected, text);
}

std::vector<Family> parse_families(std::string_view text, int64_t dim) {
  check_range("--dim", dim, 1, 1000);
  std::vector<std::string> words;
  for (const auto part : split(text, ',')) {
    double number = 0;  // an exponent belongs to the word before it
    if (!words.empty() && parse_double(part, number)) {
      words.back() += ',' + std::string(part);
    } else {
      words.emplace_back(part);
    }
  }
  std::vector<Family> families;
  for (const auto& word : words) families.push_back(parse_family(word));
  if (families.size() == 1) families.resize(static_cast<size_t>(dim), families[0]);
  if (static_cast<int64_t>(families.size()) != dim) {
    throw InvalidArgument("--space", "one family or " + std::to_string(dim) + " (--dim)",
                          std::to_string(families.size()));
  }
  return families;
}

std::string family_name(const Family& family) {
  switch (family.kind) {
    case FamilyKind::legendre:
      return "legendre";
    case FamilyKind::hermite:
      return "hermite";
    case FamilyKind::trigonometric:
      return "trigonometric";
    case FamilyKind::jacobi:
      return "jacobi:" + number_text(family.a) + "," + number_text(family.b);
    case FamilyKind::laguerre:
      break;
  }
  return family.a == 0 ? "laguerre" : "laguerre:" + number_text(family.a);
}

std::string families_name(const std::vector<Family>& families) {
  bool same = true;
  for (const auto& family : families) same = same && family == families[0];
  std::string text = family_name(families.at(0));
  for (size_t i = 1; i < families.size() && !same; ++i) text += "," + family_name(families[i]);
  return text;
}

int64_t max_degree(const Family& family) {
  // Points reach |x| = sqrt(4 k + 2) and 4 k + 2 a + 2; there ||phi||^2 is about e^{x^2 / 2} and
  // e^x, and weights are its reciprocal: both within a double's range up to these degrees.
  if (family.kind == FamilyKind::hermite) return 250;
  return family.kind == FamilyKind::laguerre ? 150 : 1'000'000;
}

int64_t level_of(const Family& family, int64_t function) {
  return family.kind == FamilyKind::trigonometric ? (function + 1) / 2 : function;
}

int64_t functions_to(const Family& family, int64_t level) {
  return family.kind == FamilyKind::trigonometric ? 2 * level + 1 : level + 1;
}

FamilyFunctions::FamilyFunctions(const Family& family, int64_t count)
    : family_(family), count_(count) {
  check_at_least("functions", count, 1);
  if (level_of(family, count - 1) > max_degree(family)) {
    throw InvalidArgument("--degree",
                          "at most " + std::to_string(max_degree(family)) + " for " +
                              family_name(family) + ", whose values overflow beyond",
                          std::to_string(count - 1));
  }
  if (family.kind == FamilyKind::trigonometric) return;
  const double a = family.a, b = family.b;
  c_.assign(static_cast<size_t>(count), 0);
  s_.assign(static_cast<size_t>(count), 0);
  inverse_.assign(static_cast<size_t>(count), 0);
  for (int64_t i = 0; i < count; ++i) {
    const auto k = static_cast<double>(i);
    double& c = c_[static_cast<size_t>(i)];
    double& s = s_[static_cast<size_t>(i)];
    switch (family.kind) {
      case FamilyKind::hermite:
        s = std::sqrt(k);
        break;
      case FamilyKind::laguerre:
        c = 2 * k + 1 + a;
        s = std::sqrt(k * (k + a));
        break;
      case FamilyKind::jacobi: {
        const double sum = 2 * k + a + b;
        // At k = 0 and 1 factors that may be 0 / 0 (a + b = 0 or -1) are cancelled by hand.
        c = i == 0 ? (b - a) / (a + b + 2) : (b * b - a * a) / (sum * (sum + 2));
        const double last = i == 1 ? 1 : (k + a + b) / (sum - 1);
        s = i == 0 ? 0 : std::sqrt(4 * k * (k + a) * (k + b) * last / (sum * sum * (sum + 1)));
        break;
      }
      default:
        s = i == 0 ? 0 : k / std::sqrt(4 * k * k - 1);
    }
    if (i > 0) inverse_[static_cast<size_t>(i)] = 1 / s;
  }
}

void FamilyFunctions::evaluate(double x, double* values) const {
  values[0] = 1;
  if (family_.kind == FamilyKind::trigonometric) {
    for (int64_t j = 1; j < count_; ++j) {
      const double angle = 2 * pi * static_cast<double>((j + 1) / 2) * x;
      values[j] = sqrt2 * (j % 2 == 1 ? std::cos(angle) : std::sin(angle));
    }
    return;
  }
  double before = 0, here = 1;
  for (int64_t k = 0; k + 1 < count_; ++k) {
    const auto i = static_cast<size_t>(k);
    const double next = ((x - c_[i]) * here - s_[i] * before) * inverse_[i + 1];
    before = here;
    here = next;
    values[k + 1] = next;
  }
}

double density(const Family& family, double x) {
  switch (family.kind) {
    case FamilyKind::legendre:
      return std::abs(x) <= 1 ? 0.5 : 0;
    case FamilyKind::hermite:
      return std::exp(-x * x / 2) / std::sqrt(2 * pi);
    case FamilyKind::trigonometric:
      return x >= 0 && x < 1 ? 1 : 0;
    case FamilyKind::jacobi:
      if (std::abs(x) > 1) return 0;
      return std::pow(1 - x, family.a) * std::pow(1 + x, family.b) *
             std::exp(-log_normaliser(family));
    case FamilyKind::laguerre:
      break;
  }
  return x < 0 ? 0 : std::pow(x, family.a) * std::exp(-x - log_normaliser(family));
}

double quantile(const Family& family, double u) {
  switch (family.kind) {
    case FamilyKind::legendre:
      return 2 * u - 1;
    case FamilyKind::trigonometric:
      return u;
    case FamilyKind::hermite:
      return at::special_ndtri(torch::tensor(u, torch::kFloat64)).item<double>();
    case FamilyKind::jacobi:
      return -std::cos(smooth_quantile({family.kind, family.b, family.a}, u));
    case FamilyKind::laguerre:
      break;
  }
  if (family.a == 0) return -std::log1p(-u);
  const double t = smooth_quantile(family, u);
  return t * t;
}

Rule gauss_rule(const Family& family, int64_t n) {
  check_at_least("points", n, 1);
  Rule rule;
  if (family.kind == FamilyKind::trigonometric) {
    for (int64_t i = 0; i < n; ++i) {
      rule.nodes.push_back(static_cast<double>(i) / static_cast<double>(n));
      rule.weights.push_back(1 / static_cast<double>(n));
    }
    return rule;
  }
  // The nodes are the eigenvalues of the Jacobi matrix of the recurrence.
  const FamilyFunctions functions(family, n);
  const auto eigen =
      eigh_tridiagonal({.alpha = functions.centres(),
                        .beta = {functions.steps().begin() + 1, functions.steps().end()}});
  rule.nodes = eigen.values;
  for (const double first : eigen.first) rule.weights.push_back(first * first);
  return rule;
}

}  // namespace ritz::design
