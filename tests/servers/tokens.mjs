// An authorization server whose tokens are signed: node tokens.mjs PORT
//
// POST /next sets `exp` (seconds from now) of the tokens that follow once, or lets them be signed by another key.
import { createServer } from "node:http";
import { OAuth2Server } from "oauth2-mock-server";

const [port, control] = process.argv.slice(2).map(Number);
const server = new OAuth2Server();
const other = new OAuth2Server();
await server.issuer.keys.generate("RS256");
await other.issuer.keys.generate("RS256");
other.issuer.url = "http://127.0.0.1";
const foreign = await other.issuer.buildToken();
let next = {};
let given = 0;
server.service.on("beforeTokenSigning", (token, request) => {
  token.payload.role = "tokens_reader";
  token.payload.grant = request.body.grant_type;
  if (next.exp !== undefined) token.payload.exp = Math.floor(Date.now() / 1000) + next.exp;
});
server.service.on("beforeResponse", (answer) => {
  given += 1;
  if (next.foreign) answer.body.access_token = foreign;
  if (!next.always) next = {};
});
await server.start(port, "127.0.0.1");
createServer((request, answer) => {
  let text = "";
  request.on("data", (part) => (text += part));
  request.on("end", () => {
    if (request.method === "POST") next = JSON.parse(text);
    answer.end(JSON.stringify({ given }));
  });
}).listen(control, "127.0.0.1");
