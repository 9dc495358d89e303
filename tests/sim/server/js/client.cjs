// A morning at the simulated exchange with the official client: node client.cjs URL
// Prints one line of JSON: what each call gave. The Python test beside it judges.
const { KiteConnect, KiteTicker } = require("kiteconnect");

const url = process.argv[2];
const key = "g6sim";
const kite = new KiteConnect({ api_key: key, root: url });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const tick = (price) => Math.round(price * 20) / 20;

async function refused(call) {
  try {
    await call();
    return "";
  } catch (error) {
    return error.error_type;
  }
}

async function market(found) {
  const all = await kite.getInstruments("NFO");
  found.instruments = all.filter((row) => row.tradingsymbol);
  const spot = (await kite.getLTP(["NSE:NIFTY 50"]))["NSE:NIFTY 50"];
  found.ltp = spot;
  const calls = found.instruments.filter((row) => row.instrument_type === "CE");
  const nearest = Math.min(...calls.map((row) => row.expiry.getTime()));
  const distance = (row) => Math.abs(Number(row.strike) - spot.last_price);
  const atMoney = calls
    .filter((row) => row.expiry.getTime() === nearest)
    .reduce((best, row) => (distance(row) < distance(best) ? row : best));
  const name = `NFO:${atMoney.tradingsymbol}`;
  await pause(1100);
  found.quote = (await kite.getQuote([name]))[name];
  await pause(1100);
  found.ohlc = (await kite.getOHLC([name]))[name];
  const day = "2026-11-18";
  const token = Number(atMoney.instrument_token);
  found.candles = await kite.getHistoricalData(token, "minute", `${day} 09:15:00`, `${day} 09:20:00`, false, true);
  return atMoney;
}

async function orders(found, contract) {
  const order = (price) => ({
    exchange: "NFO",
    tradingsymbol: contract.tradingsymbol,
    transaction_type: "BUY",
    quantity: contract.lot_size,
    product: "MIS",
    order_type: "LIMIT",
    price,
    validity: "DAY",
    tag: "js",
  });
  found.margins_of_order = await kite.orderMargins([{ ...order(100), variety: "regular" }]);
  const bought = await kite.placeOrder("regular", order(tick(found.quote.depth.sell[0].price * 1.05)));
  const resting = await kite.placeOrder("regular", order(tick(found.quote.last_price * 0.8)));
  await pause(1500);
  await kite.modifyOrder("regular", resting.order_id, { quantity: 2 * contract.lot_size });
  await pause(1500);
  await kite.cancelOrder("regular", resting.order_id);
  await pause(1500);
  const rows = await kite.getOrders();
  found.statuses = [bought, resting].map((one) => rows.find((row) => row.order_id === one.order_id).status);
  found.history = (await kite.getOrderHistory(resting.order_id)).map((row) => row.status);
  found.order_trades = await kite.getOrderTrades(bought.order_id);
  found.trades = await kite.getTrades();
  found.positions = await kite.getPositions();
  found.holdings = await kite.getHoldings();
  found.auctions = await kite.getAuctionInstruments();
  found.refused = await refused(() => kite.placeOrder("regular", { ...order(100), quantity: 1 }));
}

function stream(found, contract) {
  const tokens = [256265, Number(contract.instrument_token)];
  const ticker = new KiteTicker({
    api_key: key,
    access_token: kite.access_token,
    root: `${url.replace("http", "ws")}/`,
  });
  ticker.autoReconnect(false);
  return new Promise((done, failed) => {
    const give_up = setTimeout(() => failed(new Error("no full tick of both")), 10000);
    found.ticks = {};
    ticker.on("connect", () => {
      ticker.subscribe(tokens);
      ticker.setMode(ticker.modeFull, tokens);
    });
    ticker.on("ticks", (rows) => {
      for (const row of rows) if (row.mode === "full") found.ticks[row.instrument_token] = row;
      if (tokens.every((token) => found.ticks[token])) {
        clearTimeout(give_up);
        ticker.disconnect();
        done();
      }
    });
    ticker.on("error", failed);
    ticker.connect();
  });
}

async function main() {
  const found = {};
  found.without_session = await refused(() => kite.getProfile());
  found.session = await kite.generateSession(key, key);
  found.profile = await kite.getProfile();
  found.margins = await kite.getMargins();
  found.equity = await kite.getMargins("equity");
  const contract = await market(found);
  found.contract = contract;
  await orders(found, contract);
  await stream(found, contract);
  found.instruments = { rows: found.instruments.length, first: found.instruments[0] };
  await kite.invalidateAccessToken();
  found.after_logout = await refused(() => kite.getProfile());
  console.log(JSON.stringify(found));
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
