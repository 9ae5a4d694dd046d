// Random probes and a closure as an operator: a user's smallest program. The thin headers keep it
// quick.
#include <ritz/base/random.h>
#include <ritz/linop/function_operator.h>
#include <ritz/sketch/hutchinson.h>

int main() {
  const ritz::SymmetricFunctionOperator twice(100, at::kDouble,
                                              [](const ritz::Tensor& x) { return x.add(x); });
  ritz::RandomStream random(1);
  const auto x = random.normal({100}, at::kDouble);
  const bool doubled = twice.apply(x).equal(x.add(x));
  const auto trace = ritz::hutchinson_trace(twice, {.probes = 2});
  return doubled && trace.value == 200 && *trace.standard_error == 0 ? 0 : 1;
}
