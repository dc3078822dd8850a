// Balancer's Smart Order Router on pools of two equal weights, which are constant products. It
// splits over direct pools and paths of two hops, and is told what a swap costs.
import { PoolFilter, SOR, SwapTypes } from "@balancer-labs/sor";
import { BigNumber } from "@ethersproject/bignumber";
import { answer, fastest, instance } from "./timing.mjs";

const decimal = (atoms) => {
  const digits = atoms.padStart(19, "0");
  return `${digits.slice(0, -18)}.${digits.slice(-18)}`;
};
const side = (token, atoms) => ({
  address: instance.tokens[token], balance: decimal(atoms), decimals: 18, priceRate: "1", weight: "0.5",
});
const pools = instance.pools.map(([a, b, x, y], number) => ({
  id: `${number}`,
  address: `0x${(number + 1).toString(16).padStart(40, "f")}`,
  poolType: "Weighted",
  swapFee: "0.003",
  swapEnabled: true,
  totalShares: "100",
  totalWeight: "1",
  tokens: [side(a, x), side(b, y)],
  tokensList: [instance.tokens[a], instance.tokens[b]],
}));
const unused = `0x${"e".repeat(40)}`;
const sor = new SOR(
  null, // a provider, for wrapped tokens only
  { chainId: 1, vault: unused, weth: unused, connectingTokens: [] },
  { getPools: async () => pools },
  { getNativeAssetPriceInToken: async () => instance.cost },
);
await sor.fetchPools();

const WEI = BigNumber.from(10).pow(18);
const options = {
  // The cost of a swap comes to gasPrice · swapGas · price / 10^18.
  gasPrice: Number(instance.cost) ? WEI : BigNumber.from(0),
  swapGas: BigNumber.from(1),
  maxPools: Number(process.argv[3]),
  poolTypeFilter: PoolFilter.All,
  timestamp: 0,
  forceRefresh: true, // the pools of this block, not those it saw before
};
const [ms, found] = await fastest(() =>
  sor.getSwaps(instance.tokens[0], instance.tokens[1], SwapTypes.SwapExactIn, instance.amount, options),
);
const place = (index) => instance.tokens.indexOf(found.tokenAddresses[index].toLowerCase());
const swaps = found.swaps.map(({ poolId, assetInIndex, assetOutIndex, amount }) => [
  Number(poolId), place(assetInIndex), place(assetOutIndex), amount === "0" ? null : amount,
]);
answer(ms, swaps);
