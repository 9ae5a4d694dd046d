#include "ritz/design/kernel.h"

#include <charconv>
#include <cmath>

#include "ritz/base/check.h"

namespace ritz::design {
namespace {

constexpr std::string_view kExpected = "gaussian, laplacian, brownian or polynomial:P (P in 1..20)";

bool bounded(const Family& family) {
  return family.kind == FamilyKind::legendre || family.kind == FamilyKind::jacobi ||
         family.kind == FamilyKind::trigonometric;
}

const ProductSpace& bounded_product(std::string_view name, const Space& space) {
  const auto* product = dynamic_cast<const ProductSpace*>(&space);
  bool fits = product != nullptr;
  if (fits)
    for (const auto& family : product->families()) fits = fits && bounded(family);
  if (!fits) {
    throw Unsupported("--weights rkhs:" + std::string(name) +
                      ": needs bounded coordinates (legendre, jacobi, trigonometric)");
  }
  return *product;
}

// Where x stands in its interval, 0 to 1.
double place(const Family& family, double x) {
  return family.kind == FamilyKind::trigonometric ? x : (1 + x) / 2;
}

double mean(const Family& family, const std::function<double(double)>& f, int64_t nodes) {
  // A trigonometric coordinate is uniform on [0, 1): Gauss-Legendre there, for f is not periodic.
  const bool periodic = family.kind == FamilyKind::trigonometric;
  const Rule rule = gauss_rule(periodic ? Family{} : family, nodes);
  double sum = 0;
  for (size_t i = 0; i < rule.nodes.size(); ++i)
    sum += rule.weights[i] * f(periodic ? (1 + rule.nodes[i]) / 2 : rule.nodes[i]);
  return sum;
}

KernelDiagonal brownian(const ProductSpace& space) {
  KernelDiagonal out{.name = "brownian"};
  const auto families = space.families();
  for (const auto& family : families) {
    out.integral *= mean(
        family, [&](double x) { return 1 + place(family, x); }, 2);
    out.supremum *= 2;
  }
  out.value = [families](const double* x) {
    double product = 1;
    for (size_t j = 0; j < families.size(); ++j) product *= 1 + place(families[j], x[j]);
    return product;
  };
  return out;
}

// E (1 + S)^P, S = sum_j x_j^2, by the moments of S, which add coordinate by coordinate.
KernelDiagonal polynomial(const ProductSpace& space, int64_t P) {
  std::vector<double> moments(static_cast<size_t>(P) + 1, 0);
  moments[0] = 1;
  std::vector<std::vector<double>> choose(static_cast<size_t>(P) + 1);
  for (size_t n = 0; n < choose.size(); ++n) {
    choose[n].assign(n + 1, 1);
    for (size_t k = 1; k < n; ++k) choose[n][k] = choose[n - 1][k - 1] + choose[n - 1][k];
  }
  for (const auto& family : space.families()) {
    std::vector<double> own, sum(moments.size(), 0);
    for (int64_t k = 0; k <= P; ++k) {
      const auto power = [k](double x) { return std::pow(x, 2 * static_cast<double>(k)); };
      own.push_back(mean(family, power, P + 1));
    }
    for (size_t n = 0; n < sum.size(); ++n)
      for (size_t k = 0; k <= n; ++k) sum[n] += choose[n][k] * moments[k] * own[n - k];
    moments = sum;
  }
  KernelDiagonal out{.name = "polynomial:" + std::to_string(P), .integral = 0};
  for (size_t k = 0; k < moments.size(); ++k)
    out.integral += choose[static_cast<size_t>(P)][k] * moments[k];
  const auto d = space.dim();
  const auto power = static_cast<double>(P);
  out.supremum = std::pow(1 + static_cast<double>(d), power);  // |x_j| <= 1
  out.value = [d, power](const double* x) {
    double square = 1;
    for (int64_t j = 0; j < d; ++j) square += x[j] * x[j];
    return std::pow(square, power);
  };
  return out;
}

}  // namespace

KernelDiagonal kernel_diagonal(std::string_view name, const Space& space) {
  if (name == "uniform" || name == "gaussian" || name == "laplacian")
    return {.name = std::string(name)};
  if (name == "brownian") return brownian(bounded_product(name, space));
  if (name.starts_with("polynomial:")) {
    const auto text = name.substr(11);
    int64_t P = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), P);
    if (read.ec == std::errc() && read.ptr == text.data() + text.size() && P >= 1 && P <= 20)
      return polynomial(bounded_product(name, space), P);
  }
  throw InvalidArgument("--weights rkhs", kExpected, name);
}

}  // namespace ritz::design
