// ritz's side of bench/peers/batch_scaling_peers.py: the same tasks on the same weights, data and
// probes as the peers', one at a time on request, so that runs can be interleaved.
//
//     curvature_peer_bench prepare FOLDER mlp|resnet PROBES   writes weights, data and probes
//     curvature_peer_bench serve FOLDER THREADS [--memory-limit BYTES]   reads tasks from standard
//     input
//
// Tasks: "hvp K" (K probes as one block on a prepared operator), "density K STEPS" (all of it:
// operator, Lanczos, quadrature). Each answers with one line of JSON: seconds, the peak of memory
// above the started program's, and where the answer is.
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ritz/base/random.h"
#include "ritz/base/threads.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/krylov/lanczos.h"
#include "ritz/krylov/quadrature.h"
#include "ritz/nn/curvature.h"
#include "ritz/nn/data.h"
#include "ritz/nn/models.h"
#include "ritz/nn/network_file.h"

namespace {

using nlohmann::json;
using ritz::Tensor;

void write(const std::string& path, const Tensor& x) {
  ritz::io::write_arrays(path, {ritz::io::to_array("", x.contiguous())}, {.force = true});
}
Tensor read(const std::string& path) {
  return ritz::io::to_tensor(ritz::io::read_array(path)).clone();
}

ritz::nn::Network network_of(const std::string& kind) {
  const bool deep = kind == "resnet";
  return ritz::nn::make_network(
      deep ? "resnet:20" : "mlp:784-128-64-10",
      {.input_shape = deep ? std::vector<int64_t>{3, 32, 32} : std::vector<int64_t>{784},
       .outputs = 10,
       .tensor = torch::kFloat32,
       .seed = 1});
}

// A short descent first: at initialisation a Hessian is untypical. The running statistics of batch
// norm keep their initial values, mean 0 and variance 1.
void prepare(const std::string& folder, const std::string& kind, int64_t probes) {
  const auto network = network_of(kind);
  ritz::RandomStream random(2, ritz::stream_id("peers/data"));
  Tensor inputs, targets;
  if (kind == "mlp") {
    const auto data = ritz::nn::load_labelled_data({.data = "fashion-mnist", .limit = 2048});
    inputs = data.inputs.flatten(1);
    targets = data.targets;
  } else {
    inputs = random.normal({256, 3, 32, 32}, torch::kFloat32);
    targets = random.integers({256}, 0, 10);
  }
  const ritz::nn::Objective objective{network, {}, inputs, targets};
  for (int step = 0; step < 20; ++step) {
    const auto g = ritz::nn::gradient(objective);
    network.set_flat_parameters(network.flat_parameters() - (kind == "mlp" ? 0.1 : 0.01) * g);
  }
  ritz::nn::save_network(network, folder + "/weights.safetensors", {}, true);
  write(folder + "/inputs.npy", inputs);
  write(folder + "/targets.npy", targets);
  write(folder + "/probes.npy",
        random.rademacher({network.parameter_count(), probes}, torch::kFloat32));
  json meta = {
      {"kind", kind}, {"loss", ritz::nn::mean_loss(objective)}, {"parameters", json::array()}};
  for (const auto& [name, value] : network.parameters) meta["parameters"].push_back(name);
  std::ofstream(folder + "/meta.json") << meta.dump(1) << '\n';
}

// Kilobytes from /proc/self/status.
int64_t status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return std::stoll(line.substr(key.size() + 1));
  }
  return 0;
}

json density(const ritz::nn::Objective& objective, const ritz::nn::CurvatureOptions& options,
             const Tensor& probes, int64_t steps) {
  const auto op = ritz::nn::hessian(objective, options);
  const auto run =
      ritz::lanczos(*op, {.steps = steps, .probes = probes.size(1), .start_vectors = probes});
  json nodes = json::array(), weights = json::array();
  for (const auto& T : run.T) {
    const auto q = ritz::gauss_quadrature(T);
    nodes.push_back(q.nodes);
    weights.push_back(q.weights);
  }
  return {{"nodes", nodes}, {"weights", weights}};
}

void serve(const std::string& folder, int threads, const ritz::nn::CurvatureOptions& options) {
  ritz::set_threads(threads);
  const auto meta = json::parse(std::ifstream(folder + "/meta.json"));
  const auto network = network_of(meta["kind"]);
  ritz::nn::load_checkpoint(network, folder + "/weights.safetensors");
  const ritz::nn::Objective objective{
      network, {}, read(folder + "/inputs.npy"), read(folder + "/targets.npy")};
  const auto probes = read(folder + "/probes.npy");
  // A product over two samples, so that what loads on first use is not counted as memory or time.
  const auto two = ritz::nn::subset(objective, torch::arange(2));
  ritz::nn::hessian(two, options)->apply(probes.select(1, 0).contiguous());
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak counts from here
  const int64_t started = status("VmRSS:");
  std::cout << json{{"ready", true}, {"loss", ritz::nn::mean_loss(objective)}} << std::endl;

  std::shared_ptr<ritz::SymmetricOperator> op;
  std::string task;
  int64_t k = 0;
  while (std::cin >> task >> k) {
    json answer;
    const auto V = probes.narrow(1, 0, k).contiguous();
    int64_t steps = 0;
    if (task == "density") std::cin >> steps;
    if (task == "hvp" && !op) {
      op = ritz::nn::hessian(objective, options);
      op->apply(
          V);  // keeps what there is to keep; peers do the same before their first time is taken
    }
    const auto begin = std::chrono::steady_clock::now();
    if (task == "hvp") {
      const auto HV = op->apply(V);
      answer["seconds"] =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      write(folder + "/hvp_ritz.npy", HV);
    } else {
      answer = density(objective, options, V, steps);
      answer["seconds"] =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    answer["peak_kb"] = status("VmHWM:") - started;
    std::cout << answer << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 4 && words[0] == "prepare") {
      prepare(words[1], words[2], std::stoll(words[3]));
      return 0;
    }
    const bool limited = words.size() == 5 && words[3] == "--memory-limit";
    if ((words.size() == 3 || limited) && words[0] == "serve") {
      serve(words[1], std::stoi(words[2]), {.memory_limit = limited ? std::stoll(words[4]) : 0});
      return 0;
    }
    std::fputs(
        "usage: curvature_peer_bench prepare FOLDER mlp|resnet PROBES | serve FOLDER "
        "THREADS [--memory-limit BYTES]\n",
        stderr);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "curvature_peer_bench: %s\n", error.what());
    return 1;
  }
}
