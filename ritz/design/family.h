#pragma once
// Orthonormal functions of one variable: the classical polynomials and the trigonometric system,
// each under the probability measure mu that belongs to it.
//
//   legendre         uniform on [-1, 1]
//   jacobi:a,b       (1 - x)^a (1 + x)^b on [-1, 1], normalised; a, b >= -1/2
//   hermite          N(0, 1)
//   laguerre[:a]     x^a e^{-x} on [0, inf), normalised; a >= -1/2
//   trigonometric    uniform on [0, 1): 1, sqrt2 cos(2 pi k x), sqrt2 sin(2 pi k x), k = 1, 2, ...
//
// Polynomials have positive leading coefficients and obey x p_k = s_{k+1} p_{k+1} + c_k p_k + s_k
// p_{k-1}.
//
//   ritz::design::Family f = ritz::design::parse_family("jacobi:0.5,0");
//   ritz::design::Rule rule = ritz::design::gauss_rule(f, 8);    // exact to degree 15
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ritz::design {

enum class FamilyKind { legendre, hermite, trigonometric, jacobi, laguerre };

struct Family {
  FamilyKind kind = FamilyKind::legendre;
  double a = 0;  // jacobi: the exponent of 1 - x; laguerre: that of x
  double b = 0;  // jacobi: the exponent of 1 + x
  bool operator==(const Family&) const = default;
};

/// "legendre", "jacobi:0.5,-0.25", "laguerre:2"; InvalidArgument for other words and for exponents
/// below -1/2, where the samplers' bounds do not hold.
Family parse_family(std::string_view text);
/// One family for each coordinate: a list as "legendre,jacobi:0.5,0,hermite", or one for all `dim`.
std::vector<Family> parse_families(std::string_view text, int64_t dim);
std::string family_name(const Family& family);
std::string families_name(const std::vector<Family>& families);

/// Polynomials beyond this degree overflow where they are sampled (hermite 250, laguerre 150); a
/// million for the others.
int64_t max_degree(const Family& family);

/// A polynomial's degree, a trigonometric function's frequency: functions 0, 1, 2, 3, 4 of the
/// latter have 0, 1, 1, 2, 2.
int64_t level_of(const Family& family, int64_t function);
/// How many functions have a level of at most `level`.
int64_t functions_to(const Family& family, int64_t level);

/// Evaluates functions 0 ... count - 1 at a point.
class FamilyFunctions {
 public:
  FamilyFunctions(const Family& family, int64_t count);
  const Family& family() const { return family_; }
  int64_t count() const { return count_; }
  /// values [count] <- phi_k(x); 5 flops each.
  void evaluate(double x, double* values) const;
  /// c_k (k < count) and 1 / s_k (1 <= k < count) of the recurrence; empty for trigonometric.
  const std::vector<double>& centres() const { return c_; }
  const std::vector<double>& inverse_steps() const { return inverse_; }
  const std::vector<double>& steps() const { return s_; }

 private:
  Family family_;
  int64_t count_;
  std::vector<double> c_, s_, inverse_;
};

/// mu's density at x, with respect to dx.
double density(const Family& family, double x);
/// The point below which mu has mass u, 0 < u < 1 (to about 1e-9).
double quantile(const Family& family, double u);

struct Rule {
  std::vector<double> nodes, weights;  // ascending; the weights sum to 1
};
/// Gauss's rule of n points for mu: exact for polynomials of degree 2 n - 1 (Golub & Welsch 1969).
/// Trigonometric: n equispaced points, exact below frequency n.
Rule gauss_rule(const Family& family, int64_t n);

}  // namespace ritz::design
