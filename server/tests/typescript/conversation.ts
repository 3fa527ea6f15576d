// What a program in another language does with the API, by types generated from its document alone: two people register,
// one sends a file in chunks and posts it, the other reads the message and the file. Prints what the other has read.
//
// Arguments: the server, `https://HOST:PORT`. The certificate is trusted by NODE_EXTRA_CA_CERTS.

import createClient, { type Middleware } from "openapi-fetch";
import { randomBytes, randomUUID } from "node:crypto";
import type { components, paths } from "./api.js";

type Login = components["schemas"]["LoginView"];

const server = process.argv[2] ?? "https://localhost:8443";

/** The answer's content; whatever is not one ends the program with the server's words. */
function content<T>(answer: { data?: T; error?: components["schemas"]["ProblemDetails"] }): T {
  if (answer.error !== undefined) throw new Error(`${answer.error.code}: ${answer.error.detail}`);
  if (answer.data === undefined) throw new Error("an answer without content");
  return answer.data;
}

async function register(name: string) {
  const email = `${name.toLowerCase()}-${randomUUID()}@example.org`;
  const client = createClient<paths>({ baseUrl: server });
  const body = { email, name, password: "correct horse battery" };
  const login: Login = content(await client.POST("/api/v1/auth/register", { body }));
  const bearer: Middleware = {
    onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${login.access_token}`),
  };
  client.use(bearer);
  return { client, email };
}

const ann = await register("Ann");
const bob = await register("Bob");

const bytes = randomBytes(3_000_000);
const upload = content(await ann.client.POST("/api/v1/uploads", { body: { name: "film.mkv", size: bytes.length } }));
for (let index = 0; index < upload.chunk_count; index++) {
  const chunk = bytes.subarray(index * upload.chunk_size, (index + 1) * upload.chunk_size);
  const { error } = await ann.client.PUT("/api/v1/uploads/{upload}/chunks/{index}", {
    params: { path: { upload: upload.id, index } },
    body: chunk as unknown as string,
    bodySerializer: (body) => body,
    headers: { "Content-Type": "application/octet-stream" },
  });
  if (error !== undefined) throw new Error(error.detail);
}
const file = content(
  await ann.client.POST("/api/v1/uploads/{upload}/complete", { params: { path: { upload: upload.id } } }),
);

const chat = content(await ann.client.POST("/api/v1/chats", { body: { kind: "direct", email: bob.email } }));
const path = { chat: chat.id };
content(
  await ann.client.POST("/api/v1/chats/{chat}/messages", {
    params: { path },
    body: { text: "the film", files: [file.id] },
  }),
);

const [message] = content(await bob.client.GET("/api/v1/chats/{chat}/messages", { params: { path } })).items;
const card = message?.files[0];
if (card === undefined) throw new Error("no message with a file");
const read = content(
  await bob.client.GET("/api/v1/files/{file}/content", {
    params: { path: { file: card.id } },
    parseAs: "arrayBuffer",
  }),
);
const equal = Buffer.from(read as ArrayBuffer).equals(bytes);
console.log(JSON.stringify({ text: message?.text, name: card.name, size: card.size, equal }));
