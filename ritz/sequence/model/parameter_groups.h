#pragma once
// Which parameters of a state-space model learn how fast, and which decay: those of A, B and Delta
// are small and touchy, and have always been trained more slowly than the rest, without decay.
//
// Two rates, `ssm_lr` and `lr`, and the weight decay of the rest (AdamW). Where each part goes
// (S5's code, whose names these are; all else is at lr, with decay):
//
//                    ssm_lr, no decay                   ssm_lr, decay   lr, decay
//   standard         A, P, Delta, norms, B              -               C, D
//   BandCdecay       A, P, Delta, norms                 B               C, D
//   BfastandCdecay   A, P, Delta, norms                 -               B, C, D
//   noBCdecay        A, P, Delta, norms, B, C, D        -               -
//
// `dt_global` moves Delta to lr with decay. Parameters are known by their names: A_real, A_imag, P,
// B, C, D, log_dt anywhere, and whatever lies in a module `norm`.
//
//     #include "ritz/sequence/model/parameter_groups.h"
//     #include <torch/types.h>
//     #include "ritz/sequence/model/model.h"
//     int main() {
//       ritz::sequence::ModelOptions options;
//       ritz::sequence::parse_model("s5:1x4x8", options);
//       const auto model = std::make_shared<ritz::sequence::SequenceModel>(options);
//       const auto network = ritz::sequence::make_network(model);
//       const auto adamw = ritz::sequence::make_adamw(network, {.lr = 4e-3, .weight_decay = 0.05});
//       adamw->zero_grad();
//       network.forward(torch::ones({2, 11, 1})).sum().backward();  // packed: 10 steps, length 1
//       adamw->step();
//       return adamw->param_groups().size() == 2 ? 0 : 1;
//     }
#include <memory>
#include <string>
#include <string_view>

#include "ritz/nn/network.h"
#include "ritz/optim/first_order.h"

namespace ritz::sequence {

enum class GroupRule { standard, b_and_c_decay, b_fast_and_c_decay, no_b_c_decay };
/// "standard", "BandCdecay", "BfastandCdecay", "noBCdecay"; InvalidArgument for others.
GroupRule parse_group_rule(std::string_view name);

struct GroupOptions {
  GroupRule rule = GroupRule::standard;
  double lr = 4e-3;
  double ssm_lr = 1e-3;
  double weight_decay = 0.01;
  bool dt_global = false;
  optim::AdamOptions adam = {};  // its betas and eps; rates, decay and form are set here
};

/// AdamW over the network's parameters in up to three groups. set_lr(lr), which schedules call,
/// keeps the ratio of the rates.
std::unique_ptr<optim::Adam> make_adamw(const nn::Network& network,
                                        const GroupOptions& options = {});

}  // namespace ritz::sequence
